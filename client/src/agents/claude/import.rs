//! What of a returned session goes where. Checked against Claude Code 2.1.330.

use handoff_proto::chunk::ChunkId;
use handoff_proto::path::TreePath;
use serde::Deserialize;

use crate::agents::import::Part;

/// Records by which a transcript says in which mode its user interface was: on this machine that is
/// its user's affair.
const RECORDS_OF_THE_SCREEN: [&str; 2] = ["mode", "permission-mode"];

/// What a file of a session with that id is to it; none for what is not brought back.
pub(in crate::agents) fn part(path: &TreePath, id: &str) -> Option<Part> {
    let names: Vec<&str> =
        path.components().map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    if names.iter().any(|name| name.starts_with('.')) {
        return None;
    }
    let is_directory =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match names.as_slice() {
        ["projects", project, name] if is_directory(project) => {
            (name.strip_suffix(".jsonl") == Some(id)).then_some(Part::Transcript)
        }
        ["projects", project, session, _, ..] if is_directory(project) => {
            (*session == id).then_some(Part::Own)
        }
        ["tasks" | "file-history", session, _] => (*session == id).then_some(Part::Own),
        ["plans", name] if name.ends_with(".md") => Some(Part::Shared),
        _ => None,
    }
}

/// The path of a session's file if the session is called `to`.
pub(in crate::agents) fn renamed(path: &TreePath, from: &str, to: &str) -> TreePath {
    let transcript = format!("{from}.jsonl");
    let rename = |name: &[u8]| match name {
        name if name == from.as_bytes() => to.as_bytes().to_vec(),
        name if name == transcript.as_bytes() => format!("{to}.jsonl").into_bytes(),
        name => name.to_vec(),
    };
    let names: Vec<Vec<u8>> = path.components().map(rename).collect();
    TreePath::parse(&names.join(&b'/')).unwrap_or_else(|_| path.clone())
}

/// Whether a line that a run added to a transcript says nothing but what was said and done.
pub(in crate::agents) fn is_harmless(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "type")]
        kind: String,
    }
    let record = serde_json::from_slice::<Record>(line);
    record.is_ok_and(|record| !RECORDS_OF_THE_SCREEN.contains(&record.kind.as_str()))
}

/// The id of a fork, the same each time.
pub(in crate::agents) fn fork_id(id: &str, run: &str, number: usize) -> String {
    let hash = ChunkId::of(format!("fork of {id} by run {run}, {number}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6fe487e1-a3f6-4eb2-ad69-e6f9d1d97a38";

    #[test]
    fn only_what_is_the_sessions_own_comes_back() {
        for (path, expected) in [
            (format!("projects/-w/{ID}.jsonl"), Some(Part::Transcript)),
            (format!("projects/-w/{ID}/subagents/a.jsonl"), Some(Part::Own)),
            (format!("tasks/{ID}/1.json"), Some(Part::Own)),
            (format!("file-history/{ID}/x@v1"), Some(Part::Own)),
            ("plans/a-b.md".to_owned(), Some(Part::Shared)),
            (format!("tasks/{ID}/.lock"), None),
            (format!("tasks/{ID}/a/b"), None),
            ("projects/-w/c7ed1486-9320-4b9a-bc16-13826548c06a.jsonl".to_owned(), None),
            (format!("projects/.w/{ID}.jsonl"), None),
            (format!("projects/{ID}.jsonl"), None),
            ("projects/-w/memory/x.md".to_owned(), None),
            ("plans/x.sh".to_owned(), None),
            ("settings.json".to_owned(), None),
            ("CLAUDE.md".to_owned(), None),
        ] {
            assert_eq!(part(&path.parse().unwrap(), ID), expected, "{path}");
        }
    }

    #[test]
    fn a_fork_has_other_names_throughout() {
        let fork = fork_id(ID, "run", 1);
        assert_ne!(fork, fork_id(ID, "run", 2));
        assert_eq!(fork, fork_id(ID, "run", 1));
        let of = |path: String| renamed(&path.parse().unwrap(), ID, &fork).to_string();
        assert_eq!(of(format!("projects/-w/{ID}.jsonl")), format!("projects/-w/{fork}.jsonl"));
        assert_eq!(of(format!("projects/-w/{ID}/a/b.txt")), format!("projects/-w/{fork}/a/b.txt"));
        assert_eq!(of("plans/a.md".to_owned()), "plans/a.md");
    }

    #[test]
    fn a_run_decides_nothing_about_permissions_here() {
        assert!(is_harmless(br#"{"type":"user","permissionMode":"bypassPermissions"}"#));
        for line in [
            r#"{"type":"permission-mode","permissionMode":"bypassPermissions"}"#,
            r#"{"type":"mode","mode":"normal"}"#,
            r#"{"no":"type"}"#,
            "no record",
            "",
        ] {
            assert!(!is_harmless(line.as_bytes()), "{line}");
        }
    }
}
