//! Codex locks a file for each session that it has loaded, in the interface or in its background
//! process; whether a turn is under way is in the session's own file.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use super::{Live, entries, is_missing, tail};

/// How deep the files of sessions are: year, month, day.
const DEPTH: usize = 3;

/// Who has a session open.
pub(super) fn holder(directory: &Path, session: &str) -> io::Result<Live> {
    let lock = directory.join("thread-writer-locks").join(format!("{session}.lock"));
    let lock = match File::open(lock) {
        Ok(lock) => lock,
        Err(error) if is_missing(&error) => return Ok(Live::Free),
        Err(error) => return Err(error),
    };
    // Shared, so that whoever else only looks is not in the way.
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => return Ok(Live::Free),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    let pid = owner(lock.metadata()?.ino());
    match rollout(&directory.join("sessions"), session, DEPTH)? {
        Some(rollout) if is_mid_turn(&rollout)? => Ok(Live::Busy { pid }),
        Some(_) | None => Ok(Live::Idle { pid }),
    }
}

/// The process that has a lock on the file of this number, as far as the kernel tells.
fn owner(inode: u64) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields[..] else { return None };
        let is_it = file.rsplit_once(':').is_some_and(|(_, number)| number == inode.to_string());
        pid.parse().ok().filter(|_| is_it)
    })
}

/// The session's file; its name ends with the id.
fn rollout(directory: &Path, session: &str, depth: usize) -> io::Result<Option<PathBuf>> {
    let end = format!("-{session}.jsonl");
    // The newest first: their names are dates.
    let mut entries = entries(directory)?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
    for entry in entries {
        if depth > 0 {
            if let Some(found) = rollout(&entry.path(), session, depth - 1)? {
                return Ok(Some(found));
            }
        } else if entry.file_name().to_string_lossy().ends_with(&end) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Whether a turn has its prompt and is not over. Hooks are asked when the turn has begun, but
/// before it has its prompt.
fn is_mid_turn(rollout: &Path) -> io::Result<bool> {
    let found = tail::find(rollout, |records| {
        let mut items: Vec<Value> = Vec::new();
        for record in records {
            let payload = &record["payload"];
            match (record["type"].as_str(), payload["type"].as_str()) {
                (Some("event_msg"), Some("task_complete" | "turn_aborted")) => return Some(false),
                // What ran in the background of an earlier turn may end in this one.
                (Some("event_msg"), Some("item_completed")) => {
                    items.push(payload["turn_id"].clone());
                }
                (Some("event_msg"), Some("task_started")) => {
                    return Some(items.contains(&payload["turn_id"]));
                }
                _ => {}
            }
        }
        None
    });
    match found {
        Ok(found) => Ok(found.unwrap_or(false)),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SESSION: &str = "01a20223-7103-78c3-a9b6-c6aaf676ad66";

    fn event(kind: &str, turn: &str) -> Value {
        json!({ "type": "event_msg", "payload": { "type": kind, "turn_id": turn } })
    }

    fn check(records: &[Value], is_busy: bool) {
        let home = tempfile::tempdir().unwrap();
        let (locks, day) =
            (home.path().join("thread-writer-locks"), home.path().join("sessions/2026/11/22"));
        std::fs::create_dir_all(&locks).unwrap();
        std::fs::create_dir_all(&day).unwrap();
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        let rollout = day.join(format!("rollout-2026-11-22T07-23-00-{SESSION}.jsonl"));
        std::fs::write(rollout, lines).unwrap();
        assert_eq!(holder(home.path(), SESSION).unwrap(), Live::Free);
        let lock = File::create(locks.join(format!("{SESSION}.lock"))).unwrap();
        assert_eq!(holder(home.path(), SESSION).unwrap(), Live::Free, "nobody has the lock");
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let live = holder(home.path(), SESSION).unwrap();
        let (Live::Busy { pid } | Live::Idle { pid }) = live else { panic!("{live:?}") };
        assert!(pid.is_none_or(|pid| pid == std::process::id()), "{live:?}");
        assert_eq!(matches!(live, Live::Busy { .. }), is_busy, "{records:?}");
    }

    #[test]
    fn a_locked_session_is_busy_from_its_prompt_to_the_end_of_the_turn() {
        let (started, item) = (event("task_started", "1"), event("item_completed", "1"));
        let settings = event("thread_settings_applied", "1");
        check(&[], false);
        check(&[started.clone(), settings.clone()], false);
        check(&[started.clone(), item.clone(), settings.clone()], true);
        for end in ["task_complete", "turn_aborted"] {
            let ended = [started.clone(), item.clone(), event(end, "1")];
            check(&ended, false);
            let late = [&ended[..], &[item.clone(), event("task_started", "2")]].concat();
            check(&late, false);
            check(&[&late[..], std::slice::from_ref(&item)].concat(), false);
            check(&[&late[..], &[event("item_completed", "2")]].concat(), true);
        }
    }
}
