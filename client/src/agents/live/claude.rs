//! Claude Code's own list of its processes, one file each, which says whether they work.
//!
//! It calls itself busy from the moment a prompt is sent, before hooks see that; so the transcript
//! decides whether a turn is under way.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{Live, entries, is_missing, tail};

/// One process in the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    pid: u32,
    session_id: String,
    #[serde(default)]
    proc_start: Option<Value>,
    #[serde(default)]
    status: String,
}

/// Who has a session open.
pub(super) fn holder(directory: &Path, session: &str) -> io::Result<Live> {
    let mut live = Live::Free;
    for file in entries(&directory.join("sessions"))? {
        let path = file.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        // Gone by now, or written right now: a process that has just begun has no turn.
        let Some(listed) = std::fs::read(&path).ok().and_then(|bytes| parse(&bytes)) else {
            continue;
        };
        if listed.session_id != session || !is_running(&listed) {
            continue;
        }
        let pid = Some(listed.pid);
        if listed.status == "idle" || !is_mid_turn(directory, session)? {
            live = if live == Live::Free { Live::Idle { pid } } else { live };
        } else {
            return Ok(Live::Busy { pid });
        }
    }
    Ok(live)
}

fn parse(bytes: &[u8]) -> Option<Listed> {
    serde_json::from_slice(bytes).ok()
}

/// Whether the process that wrote this is the one of that number: the file stays when one is killed.
fn is_running(listed: &Listed) -> bool {
    let started = listed.proc_start.as_ref().map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    match (std::fs::read_to_string(format!("/proc/{}/stat", listed.pid)), started) {
        // One that has ended and waits for its parent to hear of that writes nothing any more.
        (Ok(stat), _) if has_ended(&stat) => false,
        (Ok(stat), Some(started)) => start_of(&stat) == Some(started.as_str()),
        (Ok(_), None) => true,
        // A system without /proc; there the number alone has to do.
        (Err(_), _) if !Path::new("/proc/self").exists() => i32::try_from(listed.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok()),
        (Err(_), _) => false,
    }
}

/// Field 22 of `/proc/PID/stat`; the name in field 2 may hold anything, but for its end.
fn start_of(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)
}

/// By field 3, the state.
fn has_ended(stat: &str) -> bool {
    let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().next());
    matches!(state, Some("Z" | "X"))
}

/// Whether the conversation waits for the model or for a tool.
fn is_mid_turn(directory: &Path, session: &str) -> io::Result<bool> {
    let Some(transcript) = transcript(directory, session)? else { return Ok(false) };
    let found = tail::find(&transcript, |records| {
        for record in records {
            if let Some(goes_on) = turn_goes_on(&record) {
                return Some(goes_on);
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

fn transcript(directory: &Path, session: &str) -> io::Result<Option<PathBuf>> {
    let name = format!("{session}.jsonl");
    let files = entries(&directory.join("projects"))?.into_iter();
    Ok(files.map(|project| project.path().join(&name)).find(|path| path.is_file()))
}

/// Whether the turn goes on after this record; none where it says nothing about that.
fn turn_goes_on(record: &Value) -> Option<bool> {
    let is = |key: &str| record[key] == Value::Bool(true);
    if is("isSidechain") || is("isMeta") {
        return None;
    }
    let message = &record["message"];
    match record["type"].as_str()? {
        "assistant" => {
            Some(matches!(message["stop_reason"].as_str(), None | Some("tool_use" | "pause_turn")))
        }
        "user" if is("isCompactSummary") => Some(false),
        "user" => {
            let text =
                message["content"].as_str().or_else(|| message["content"][0]["text"].as_str());
            let text = text.unwrap_or_default();
            if text.starts_with("<command-") || text.starts_with("<local-command-") {
                return None;
            }
            Some(!text.starts_with("[Request interrupted by user"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SESSION: &str = "6c933c51-1e5b-4dd1-8332-37fcecbef9ef";

    fn own_start() -> String {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        start_of(&stat).unwrap().to_owned()
    }

    #[test]
    fn a_process_that_has_ended_holds_nothing_though_its_parent_has_not_heard() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let ended = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), ended).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        assert!(has_ended(&stat), "{stat}");
        assert!(!has_ended(&std::fs::read_to_string("/proc/self/stat").unwrap()));
        child.wait().unwrap();
    }

    fn check(status: &str, start: &str, records: &[Value], expected: Live) {
        let home = tempfile::tempdir().unwrap();
        let (sessions, project) = (home.path().join("sessions"), home.path().join("projects/-w"));
        std::fs::create_dir_all(&sessions).unwrap();
        std::fs::create_dir_all(&project).unwrap();
        let pid = std::process::id();
        let listed =
            json!({ "pid": pid, "sessionId": SESSION, "procStart": start, "status": status });
        std::fs::write(sessions.join(format!("{pid}.json")), listed.to_string()).unwrap();
        std::fs::write(sessions.join("1.json"), "{").unwrap();
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        std::fs::write(project.join(format!("{SESSION}.jsonl")), lines).unwrap();
        assert_eq!(holder(home.path(), SESSION).unwrap(), expected, "{status} {records:?}");
        assert_eq!(holder(home.path(), "another").unwrap(), Live::Free);
    }

    fn assistant(stop: &str) -> Value {
        json!({ "type": "assistant", "message": { "stop_reason": stop, "content": [] } })
    }

    fn user(text: &str) -> Value {
        json!({ "type": "user", "message": { "content": text } })
    }

    #[test]
    fn a_process_counts_only_if_it_is_the_one_that_was_listed() {
        let pid = Some(std::process::id());
        check("idle", &own_start(), &[], Live::Idle { pid });
        check("idle", "1", &[], Live::Free);
        let home = tempfile::tempdir().unwrap();
        assert_eq!(holder(home.path(), SESSION).unwrap(), Live::Free);
    }

    #[test]
    fn it_is_busy_only_while_the_conversation_is_in_a_turn() {
        let pid = Some(std::process::id());
        let start = own_start();
        let blocked = json!({ "type": "system", "subtype": "informational" });
        for (status, records, busy) in [
            ("busy", vec![], false),
            ("busy", vec![user("go")], true),
            ("waiting", vec![user("go"), assistant("tool_use")], true),
            ("busy", vec![user("go"), assistant("end_turn"), blocked], false),
            ("idle", vec![user("go"), assistant("tool_use")], false),
            ("busy", vec![user("go"), user("[Request interrupted by user]")], false),
            ("busy", vec![assistant("end_turn"), user("<command-name>/model")], false),
        ] {
            let expected = if busy { Live::Busy { pid } } else { Live::Idle { pid } };
            check(status, &start, &records, expected);
        }
    }

    #[test]
    fn the_start_of_a_process_is_found_whatever_its_name_is() {
        let fields: Vec<String> = (3..=25).map(|field| field.to_string()).collect();
        let stat = format!("1 (a) b (c) {}", fields.join(" "));
        assert_eq!(start_of(&stat), Some("22"));
        assert_eq!(start_of("1 (a) R"), None);
    }
}
