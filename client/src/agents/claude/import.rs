//! What of a returned session goes where. Checked against Claude Code 2.1.330.

use std::borrow::Cow;
use std::io;

use handoff_proto::chunk::ChunkId;
use handoff_proto::path::{AbsolutePath, TreePath};
use serde::Deserialize;

use super::rewind;
use crate::agents::ImportPlace;
use crate::agents::import::{Here, Part, Returned, Standing};
use crate::agents::renames::Renames;

/// Records that a run may add: what was said and done, where that ends, what it cost. Modes of the
/// user interface and queued prompts are this machine's affair, and Claude Code opens a transcript
/// without them. What they say of copies of files is in `rewind`.
const RECORDS: [&str; 8] = [
    "assistant",
    "attachment",
    "cost-state",
    "last-prompt",
    "summary",
    "system",
    "tools-used",
    "user",
];

/// What is remembered in a directory for every later session there.
const MEMORY: &str = "memory";

/// How the name of a transcript ends.
const TRANSCRIPT: &[u8] = b".jsonl";

/// How much of a directory's name stands in that of its sessions before that is cut off.
const PROJECT_LEN_MAX: usize = 200;

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
        ["projects", project, session, _, ..] if is_directory(project) => match *session {
            MEMORY => Some(Part::Memory),
            session => (session == id).then_some(Part::Own),
        },
        ["tasks", session, _] => (*session == id).then_some(Part::List),
        ["file-history", session, name] if rewind::is_copy(name) => {
            (*session == id).then_some(Part::Own)
        }
        ["plans", name] if name.ends_with(".md") => Some(Part::Shared),
        _ => None,
    }
}

/// Whether this is where the transcript of a session is that began in that directory.
pub(in crate::agents) fn begins_at(path: &TreePath, directory: &AbsolutePath) -> bool {
    let text = String::from_utf8_lossy(directory.as_bytes());
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let project: String = text.chars().map(plain).collect();
    let place = path.components().nth(1).unwrap_or_default();
    if project.len() <= PROJECT_LEN_MAX {
        return place == project.as_bytes();
    }
    place.starts_with(&project.as_bytes()[..PROJECT_LEN_MAX])
}

/// The path of a session's file under these names.
pub(in crate::agents) fn renamed(path: &TreePath, renames: &Renames) -> TreePath {
    let rename = |name: &[u8]| {
        let (stem, end) = match name.strip_suffix(TRANSCRIPT) {
            Some(stem) => (stem, TRANSCRIPT),
            None => (name, &b""[..]),
        };
        let stem = std::str::from_utf8(stem).map(|stem| renames.id(stem).as_bytes());
        [stem.unwrap_or(name), end].concat()
    };
    let names: Vec<Vec<u8>> = path.components().map(rename).collect();
    TreePath::parse(&names.join(&b'/')).unwrap_or_else(|_| path.clone())
}

/// What of a line that a run added says nothing but what was said and done.
pub(in crate::agents) fn kept<'a>(
    line: &'a [u8],
    place: &ImportPlace<'_>,
) -> Option<Cow<'a, [u8]>> {
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "type")]
        kind: String,
    }
    let record: Record = serde_json::from_slice(line).ok()?;
    match record.kind.as_str() {
        kind if RECORDS.contains(&kind) => Some(Cow::Borrowed(line)),
        kind => rewind::kept(kind, line, place),
    }
}

/// How a transcript that is here stands to what came back. Claude Code writes down what it shows its
/// user: a prompt that is kept back, as the one that hands the session off, a mode, a title. None of
/// it is a part of the conversation: what the run added comes behind it.
pub(in crate::agents) fn continued(
    common: u64,
    here: &Here,
    returned: &Returned,
    renames: &Renames,
) -> io::Result<Standing> {
    let by_bytes = Standing::by_bytes(common, here, returned);
    if by_bytes != Standing::WentOn || common < returned.own {
        return Ok(by_bytes);
    }
    Standing::by_what_was_said(here, returned, renames, |line| is_said(line).then(|| line.to_vec()))
}

/// Whether a record is a part of the conversation.
fn is_said(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        subtype: String,
    }
    serde_json::from_slice::<Record>(line).is_ok_and(|record| match record.kind.as_str() {
        "user" | "assistant" | "attachment" | "summary" => true,
        "system" => record.subtype != "informational",
        _ => false,
    })
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
    use crate::agents::import::Join;

    const ID: &str = "6fe487e1-a3f6-4eb2-ad69-e6f9d1d97a38";

    #[test]
    fn only_what_is_the_sessions_own_comes_back() {
        for (path, expected) in [
            (format!("projects/-w/{ID}.jsonl"), Some(Part::Transcript)),
            (format!("projects/-w/{ID}/subagents/a.jsonl"), Some(Part::Own)),
            (format!("tasks/{ID}/1.json"), Some(Part::List)),
            (format!("file-history/{ID}/afd477e8c3c7dcc2@v1"), Some(Part::Own)),
            (format!("file-history/{ID}/x@v1"), None),
            ("file-history/c7ed1486-9320-4b9a-bc16-13826548c06a/afd477e8c3c7dcc2@v1".into(), None),
            ("plans/a-b.md".to_owned(), Some(Part::Shared)),
            (format!("tasks/{ID}/.lock"), None),
            (format!("tasks/{ID}/a/b"), None),
            ("projects/-w/c7ed1486-9320-4b9a-bc16-13826548c06a.jsonl".to_owned(), None),
            (format!("projects/.w/{ID}.jsonl"), None),
            (format!("projects/{ID}.jsonl"), None),
            ("projects/-w/memory/x.md".to_owned(), Some(Part::Memory)),
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
        let mut renames = Renames::default();
        renames.add(ID, &fork);
        let of = |path: String| renamed(&path.parse().unwrap(), &renames).to_string();
        assert_eq!(of(format!("projects/-w/{ID}.jsonl")), format!("projects/-w/{fork}.jsonl"));
        assert_eq!(of(format!("projects/-w/{ID}/a/b.txt")), format!("projects/-w/{fork}/a/b.txt"));
        assert_eq!(of("plans/a.md".to_owned()), "plans/a.md");
    }

    #[test]
    fn what_is_only_shown_here_is_no_turn() {
        let line = |text: &str| format!("{text}\n");
        let (sent, shown) =
            (line(r#"{"type":"user"}"#), line(r#"{"type":"system","subtype":"informational"}"#));
        let (cost, answer) = (line(r#"{"type":"cost-state"}"#), line(r#"{"type":"assistant"}"#));
        let more = line(r#"{"type":"user","n":2}"#);
        let of_own = |own: usize, here: &[&str], content: &[&str]| {
            let (here, content) = (here.concat(), content.concat());
            let same = here.bytes().zip(content.bytes()).take_while(|(a, b)| a == b).count();
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("here");
            std::fs::write(&path, &here).unwrap();
            let opened = Here::open(&path).unwrap().unwrap();
            let returned = Returned::of(&content, own);
            match continued(same as u64, &opened, &returned, &Renames::default()).unwrap() {
                Standing::Begins(Join { keep, from }) => {
                    let [keep, from] = [keep, from].map(|at| usize::try_from(at).unwrap());
                    Ok([&here[..keep], &content[from..]].concat())
                }
                other => Err(other),
            }
        };
        let of = |here: &[&str], content: &[&str]| of_own(sent.len(), here, content);
        let whole = of(&[&sent, &shown], &[&sent, &answer, &cost]);
        assert_eq!(whole.unwrap(), [sent.as_str(), &shown, &answer, &cost].concat());
        let all = [&sent[..], &shown, &answer];
        assert_eq!(of(&all, &[&sent, &answer, &cost]), Err(Standing::HasIt));
        let next = of(&all, &[&sent, &answer, &cost, &more]).unwrap();
        assert_eq!(next, [&all.concat(), cost.as_str(), &more].concat());
        assert_eq!(of(&[&sent, &shown, &more], &[&sent, &answer]), Err(Standing::WentOn));
        assert_eq!(of(&[&shown, &sent], &[&sent, &answer]), Err(Standing::WentOn));
        assert_eq!(of(&[&sent, &answer], &[&sent, &answer]), Err(Standing::HasIt));

        // One that began there, of which this or that about files may be here.
        let file = line(r#"{"type":"file-history-delta"}"#);
        let (more_of_files, fewer) = ([&sent[..], &file, &answer], [&sent[..], &answer]);
        assert_eq!(of_own(0, &fewer, &more_of_files), Err(Standing::HasIt));
        let next = of_own(0, &more_of_files, &[&fewer.concat(), &more]).unwrap();
        assert_eq!(next, [&more_of_files.concat(), more.as_str()].concat());
        assert_eq!(of_own(0, &[&sent, &more], &more_of_files), Err(Standing::WentOn));
    }

    #[test]
    fn a_session_that_began_there_is_where_its_directory_says() {
        let path = |project: &str| format!("projects/{project}/{ID}.jsonl").parse().unwrap();
        let directory = "/home/\u{e9} b/x.y".parse().unwrap();
        assert!(
            begins_at(&path("-home----b-x-y"), &directory)
                || begins_at(&path("-home---b-x-y"), &directory)
        );
        assert!(!begins_at(&path("-home-other"), &directory));
        let long: AbsolutePath = format!("/{}", "x".repeat(250)).parse().unwrap();
        assert!(begins_at(&path(&format!("-{}-1a2b", "x".repeat(199))), &long));
    }

    #[test]
    fn a_run_decides_nothing_about_permissions_here() {
        let (files, directory) = (std::collections::HashSet::new(), "/w".parse().unwrap());
        let place = ImportPlace { agent: &directory, directory: &directory, files: &files };
        let kept = |line: &str| kept(line.as_bytes(), &place).is_some();
        assert!(kept(r#"{"type":"user","permissionMode":"bypassPermissions"}"#));
        for line in [
            r#"{"type":"permission-mode","permissionMode":"bypassPermissions"}"#,
            r#"{"type":"mode","mode":"normal"}"#,
            r#"{"type":"file-history-snapshot"}"#,
            r#"{"type":"file-history-delta"}"#,
            r#"{"type":"queue-operation","operation":"enqueue"}"#,
            r#"{"no":"type"}"#,
            "no record",
            "",
        ] {
            assert!(!kept(line), "{line}");
        }
    }
}
