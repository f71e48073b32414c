//! Codex locks a file for each session that it has loaded, in the interface or in its background
//! process; whether a turn is under way is in the session's own file.
//!
//! The background process keeps a session loaded for a minute after the last interface has left it.
//! Whoever opens it again gets what its file holds then: it may be replaced meanwhile, which was tried
//! with version 0.169.0.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use super::{Live, is_missing, tail};
use crate::agents::codex;

/// Where interfaces reach the background process.
const SOCKET: &str = "app-server-control/app-server-control.sock";

/// The flags of a socket that listens, in `/proc/net/unix`.
const LISTENS: &str = "00010000";

/// How often a list of the kernel's is looked at for what has to be in it.
const LOOKS_MAX: usize = 8;

/// More than the kernel gives of a list in one read, which is a page, in bytes.
const LIST_LEN: usize = 64 << 10;

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
        Ok(()) => {
            // A child between fork and exec has the descriptor, too, and would keep Codex out.
            flock(&lock, FlockOperation::Unlock)?;
            return Ok(Live::Free);
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    let pid = owner(lock.metadata()?.ino());
    match (codex::transcript(directory, session), pid) {
        (Some(rollout), _) if is_mid_turn(&rollout)? => Ok(Live::Busy { pid }),
        (Some(_) | None, Some(pid)) if is_unattended(directory, pid) => Ok(Live::Loaded { pid }),
        (Some(_) | None, pid) => Ok(Live::Idle { pid }),
    }
}

/// Whether this process is the one in the background, and nobody's interface is connected to it. An
/// interface that shows another session counts: which one it shows cannot be told from outside.
fn is_unattended(directory: &Path, pid: u32) -> bool {
    let Ok(socket) = directory.join(SOCKET).canonicalize() else { return false };
    let nobody_is = || {
        let Ok(sockets) = all_of("/proc/net/unix") else { return false };
        unattended(&sockets, &socket).is_some_and(|listener| has_open(pid, listener))
    };
    // An interface that one look missed is not missed twice.
    nobody_is() && nobody_is()
}

/// The number of the socket that listens there, if nobody is connected to it: both ends are listed,
/// and that of the one who listens has the path.
fn unattended<'a>(sockets: &'a str, path: &Path) -> Option<&'a str> {
    let mut listener = None;
    for line in sockets.lines() {
        let mut rest = line;
        let mut field = || {
            let (field, after) = rest.trim_start().split_once(' ')?;
            rest = after;
            Some(field)
        };
        let fields: [Option<&str>; 7] = std::array::from_fn(|_| field());
        let [_, _, _, Some(flags), _, Some(_state), Some(inode)] = fields else { continue };
        if Path::new(rest) != path {
            continue;
        }
        if flags != LISTENS {
            return None;
        }
        listener = Some(inode);
    }
    listener
}

/// Whether a process has this socket.
fn has_open(pid: u32, inode: &str) -> bool {
    let name = format!("socket:[{inode}]");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut links = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.any(|link| link.as_os_str() == name.as_str())
}

/// The process that has a lock on the file of this number, as far as the kernel tells.
fn owner(inode: u64) -> Option<u32> {
    (0..LOOKS_MAX).find_map(|_| owner_among(&all_of("/proc/locks").ok()?, inode))
}

fn owner_among(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields[..] else { return None };
        let is_it = file.rsplit_once(':').is_some_and(|(_, number)| number == inode.to_string());
        pid.parse().ok().filter(|_| is_it)
    })
}

/// A list of the kernel's, in as few reads as it lets: what goes away between two of them may take the
/// next line along.
fn all_of(list: &str) -> io::Result<String> {
    let mut text = String::with_capacity(LIST_LEN);
    File::open(list)?.read_to_string(&mut text)?;
    Ok(text)
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
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::{Duration, Instant};

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
    fn a_session_that_the_background_process_has_is_open_while_an_interface_is_connected() {
        let home = tempfile::tempdir().unwrap();
        let locks = home.path().join("thread-writer-locks");
        std::fs::create_dir_all(&locks).unwrap();
        let lock = File::create(locks.join(format!("{SESSION}.lock"))).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let pid = std::process::id();
        let live = || holder(home.path(), SESSION).unwrap();
        assert_eq!(live(), Live::Idle { pid: Some(pid) }, "an interface of its own");
        let real = home.path().join("a real socket");
        let listener = UnixListener::bind(&real).unwrap();
        std::fs::create_dir_all(home.path().join("app-server-control")).unwrap();
        std::os::unix::fs::symlink(&real, home.path().join(SOCKET)).unwrap();
        assert_eq!(live(), Live::Loaded { pid });
        assert!(!live().is_open());
        let interface = UnixStream::connect(&real).unwrap();
        // Whether or not it has been accepted.
        assert!(live().is_open());
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(live(), Live::Idle { pid: Some(pid) });
        drop((interface, accepted));
        // What another test starts meanwhile has the connection until it executes its program.
        let until = Instant::now() + Duration::from_secs(60);
        while live().is_open() && Instant::now() < until {
            std::thread::yield_now();
        }
        assert_eq!(live(), Live::Loaded { pid });
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
