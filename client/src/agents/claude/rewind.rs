//! Copies of files as they were before edits, to which `/rewind` goes back, and the records that say
//! of which file each is. Checked against Claude Code 2.1.330.
//!
//! ```text
//! file-history/<id>/<hash>@v<number>      a copy
//! file-history-delta                      one file, and its copy; none where there was no file
//! file-history-snapshot                   all files that were edited so far, before a prompt
//! ```
//!
//! To rewind is to write over files and to remove them. So what a run says counts only for files
//! that travelled or came back, that could be replaced without consent, and whose places are the
//! tree's: where the result went elsewhere, for none. Of others it says nothing here. A record has to name the directory in which the file is: Claude Code then restores
//! nothing through a link, and without it does.

use std::borrow::Cow;
use std::path::Path;

use handoff_proto::path::TreePath;
use serde_json::Value;

use crate::agents::ImportPlace;

/// How long the hash in a copy's name is, and its number at most.
const HASH_LEN: usize = 16;
const NUMBER_LEN_MAX: usize = 6;

/// Whether this is how copies are named.
pub(super) fn is_copy(name: &str) -> bool {
    let Some((hash, number)) = name.split_once("@v") else { return false };
    hash.len() == HASH_LEN
        && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && (1..=NUMBER_LEN_MAX).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What of such a record counts here.
pub(super) fn kept<'a>(
    kind: &str,
    line: &'a [u8],
    place: &ImportPlace<'_>,
) -> Option<Cow<'a, [u8]>> {
    let mut record = serde_json::from_slice::<Value>(line).ok()?;
    match kind {
        "file-history-delta" => {
            let is_known = knows(record["trackingPath"].as_str()?, &record["backup"], place);
            is_known.then_some(Cow::Borrowed(line))
        }
        "file-history-snapshot" => {
            let copies = record["snapshot"]["trackedFileBackups"].as_object_mut()?;
            let all = copies.len();
            copies.retain(|path, copy| knows(path, copy, place));
            if copies.len() == all {
                return Some(Cow::Borrowed(line));
            }
            Some(Cow::Owned(format!("{record}\n").into_bytes()))
        }
        _ => None,
    }
}

/// Whether a file may be restored from this copy.
fn knows(path: &str, copy: &Value, place: &ImportPlace<'_>) -> bool {
    let is_named = match &copy["backupFileName"] {
        Value::Null => true,
        Value::String(name) => is_copy(name),
        _ => false,
    };
    // Beneath the directory it is relative to that, else absolute, which no path of a tree is.
    let Ok(path) = TreePath::parse(path.as_bytes()) else { return false };
    let parent = place.directory.as_os_path().join(path.as_os_path());
    let is_there = copy["realParentDir"].as_str().map(Path::new) == parent.parent();
    is_named && is_there && place.files.contains(&path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(record: &Value) -> Option<Value> {
        let files = ["a.txt", "b/c"].map(|path| path.parse().unwrap()).into();
        let (agent, directory) = ("/home/a/.claude".parse().unwrap(), "/w".parse().unwrap());
        let place = ImportPlace { agent: &agent, directory: &directory, files: &files };
        let line = format!("{record}\n");
        let kept = kept(record["type"].as_str().unwrap(), line.as_bytes(), &place)?;
        assert!(kept.ends_with(b"\n"));
        Some(serde_json::from_slice(&kept).unwrap())
    }

    fn copy(name: &str, parent: &str) -> Value {
        json!({ "backupFileName": name, "version": 1, "realParentDir": parent })
    }

    const COPY: &str = "afd477e8c3c7dcc2@v1";

    #[test]
    fn only_files_that_travel_are_restored_and_only_from_copies() {
        let delta = |path: &str, copy: &Value| json!({ "type": "file-history-delta", "trackingPath": path, "backup": copy });
        for (path, parent) in [("a.txt", "/w"), ("b/c", "/w/b")] {
            let none = json!({ "backupFileName": null, "realParentDir": parent });
            assert!(of(&delta(path, &copy(COPY, parent))).is_some(), "{path}");
            assert!(of(&delta(path, &none)).is_some(), "{path}");
        }
        for path in ["/home/a/.bashrc", "../a.txt", "b/../a.txt", ".env", "b", "", "./a.txt"] {
            assert!(of(&delta(path, &copy(COPY, "/w"))).is_none(), "{path}");
        }
        for name in ["../../x", "/etc/passwd", "afd477e8c3c7dcc2@v", "AFD477E8C3C7DCC2@v1", ""] {
            assert!(of(&delta("a.txt", &copy(name, "/w"))).is_none(), "{name}");
        }
        // Through a link it would be restored where that leads.
        let unnamed = json!({ "backupFileName": COPY });
        for copy in [copy(COPY, "/etc"), unnamed, json!({ "backupFileName": 1 })] {
            assert!(of(&delta("a.txt", &copy)).is_none(), "{copy}");
        }
    }

    #[test]
    fn of_a_snapshot_stays_what_is_about_such_files() {
        let copy = copy(COPY, "/w");
        let snapshot = |copies: Value| json!({ "type": "file-history-snapshot", "messageId": "m", "snapshot": { "messageId": "m", "trackedFileBackups": copies } });
        let whole = snapshot(json!({ "a.txt": copy }));
        assert_eq!(of(&whole), Some(whole.clone()));
        assert_eq!(of(&snapshot(json!({ "a.txt": copy, "/root/.profile": copy }))), Some(whole));
        assert_eq!(of(&json!({ "type": "file-history-snapshot" })), None);
    }
}
