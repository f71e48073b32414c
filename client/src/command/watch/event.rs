//! An event as a line for humans and as an object for programs. Pure.

mod heard;

use handoff_proto::run::{Event, Exit};
use handoff_proto::wire::answer;
use serde::Serialize;
use serde_json::{Value, json};

use crate::json::{Denied, Needs, Used};
use crate::wording::{self, command_line, one_line};

/// Longest text of an event that is shown, in characters.
const TEXT_MAX: usize = 500;

/// What a program gets: what every event has, then what this one tells.
#[derive(Debug, Serialize)]
pub(super) struct EventObject<'a> {
    seq: u64,
    at: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    fields: Value,
}

pub(super) fn object<'a>(seq: u64, at: &'a str, event: Option<&Event>) -> EventObject<'a> {
    let kind = event.map_or("unknown", Event::name);
    EventObject { seq, at, kind, fields: event.map_or_else(|| json!({}), fields) }
}

fn fields(event: &Event) -> Value {
    match event {
        Event::Queued { id, name, user, snapshot, contract, .. } => json!({
            "id": id.as_str(),
            "name": name.as_str(),
            "user": user,
            "snapshot": snapshot.to_string(),
            "command": contract.command.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>(),
            "directory": String::from_utf8_lossy(&contract.root),
        }),
        Event::Claimed { worker, epoch, .. } => json!({ "worker": worker, "epoch": epoch }),
        Event::Started(isolation) => {
            let layer = |layer: &handoff_proto::wire::IsolationLayer| json!({ "name": layer.name, "state": layer.state, "detail": layer.detail });
            json!({ "isolation": isolation.layers.iter().map(layer).collect::<Vec<_>>() })
        }
        Event::InputNeeded(need) => json!(Needs::from(need.clone())),
        Event::InputAnswered { id, answer, by } => {
            json!({ "id": id, "answer": answer.as_ref().map(answered), "by": by })
        }
        Event::Paused(by) | Event::Continued(by) | Event::StopRequested(by) => json!({ "by": by }),
        Event::OutputLimited(bytes) => json!({ "limit_bytes": bytes }),
        Event::Denied(denied) => json!(Denied::from(denied.clone())),
        Event::Used(used) => json!(Used::from(used.clone())),
        Event::Heard(heard) => heard::fields(&heard.what),
        Event::Said(said) => json!({ "text": said.text, "by": said.by }),
        Event::TurnQueued(turn) => json!({ "text": turn.text, "by": turn.by }),
        Event::Resumed(why) => json!({ "why": why }),
        Event::Attached(attached) => json!({ "by": attached.by, "writes": attached.writes }),
        Event::Detached(detached) => json!({ "by": detached.by }),
        Event::SeatsFull(noted) => json!({ "noted": noted }),
        Event::Exited(Exit::Code(code)) => json!({ "exit_code": code }),
        Event::Exited(Exit::Signal(signal)) => json!({ "signal": signal }),
        Event::Exited(Exit::TimedOut(seconds)) => json!({ "timed_out_seconds": seconds }),
        Event::Exited(Exit::DiskLimit(limit)) => json!({ "disk_limit": limit }),
        Event::Exited(Exit::Lost(why)) => json!({ "lost": why }),
        Event::Exited(Exit::Refused { step, detail }) => {
            json!({ "refused": { "step": step, "detail": detail } })
        }
        Event::ResultRecorded(harvest) => json!({
            "branch": Some(&harvest.branch).filter(|branch| !branch.is_empty()),
            "files_added": harvest.files_added,
            "files_modified": harvest.files_modified,
            "files_removed": harvest.files_removed,
            "failure": Some(&harvest.failure).filter(|failure| !failure.is_empty()),
            "notes": harvest.notes,
        }),
        Event::Finished { outcome, detail } => {
            json!({ "outcome": outcome.name(), "outcome_detail": detail })
        }
        Event::Unknown(_) => json!({}),
    }
}

/// What a human gets, on one line.
pub(super) fn line(event: Option<&Event>) -> String {
    let Some(event) = event else {
        return "something that this version of handoff does not understand".to_owned();
    };
    let text = match event {
        Event::Queued { name, contract, .. } => {
            let root = String::from_utf8_lossy(&contract.root);
            format!("queued as {name}: {} in {root}", command_line(&contract.command))
        }
        Event::Claimed { worker, .. } => format!("prepared by {worker}"),
        Event::Started(_) => "started".to_owned(),
        Event::InputNeeded(need) => format!("needs input: {}", need.text),
        Event::InputAnswered { answer: None, .. } => "needs no answer any more".to_owned(),
        Event::InputAnswered { answer: Some(answer), by, .. } => {
            format!("{by} answered: {}", answered(answer))
        }
        Event::Paused(by) => format!("paused by {by}"),
        Event::Continued(by) => format!("continued by {by}"),
        Event::StopRequested(by) => format!("{by} asked for its end"),
        Event::OutputLimited(bytes) => format!("output beyond {bytes} bytes is not kept"),
        Event::Denied(denied) => format!("denied: {}", wording::denied(denied)),
        Event::Used(used) => wording::used(used),
        Event::Heard(heard) => heard::line(&heard.what),
        Event::Said(said) => format!("{} said: {}", said.by, said.text),
        Event::TurnQueued(turn) => format!("{} gave it another turn: {}", turn.by, turn.text),
        Event::Resumed(why) => format!("resumed: {why}"),
        Event::Attached(attached) if attached.writes => {
            format!("{} sits at its terminal", attached.by)
        }
        Event::Attached(attached) => format!("{} looks at its terminal", attached.by),
        Event::Detached(detached) => format!("{} left its terminal", detached.by),
        Event::SeatsFull(noted) => {
            format!("{noted} came to its terminal: others are not noted any more")
        }
        Event::Exited(exit) => ended(exit),
        Event::ResultRecorded(harvest) if !harvest.failure.is_empty() => {
            format!("no result: {}", harvest.failure)
        }
        Event::ResultRecorded(harvest) => format!(
            "result: {} added, {} modified, {} removed{}",
            harvest.files_added,
            harvest.files_modified,
            harvest.files_removed,
            if harvest.branch.is_empty() {
                String::new()
            } else {
                format!(", on branch {}", harvest.branch)
            }
        ),
        Event::Finished { outcome, detail } if detail.is_empty() => format!("finished: {outcome}"),
        Event::Finished { outcome, detail } => format!("finished: {outcome}, {detail}"),
        Event::Unknown(_) => return line(None),
    };
    one_line(&text, TEXT_MAX)
}

fn answered(answer: &answer::What) -> String {
    match answer {
        answer::What::Approved(_) => "yes".to_owned(),
        answer::What::Denied(why) if why.is_empty() => "no".to_owned(),
        answer::What::Denied(why) => format!("no: {why}"),
        answer::What::Text(text) => text.clone(),
    }
}

fn ended(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
        Exit::TimedOut(seconds) => format!("ended by its time limit of {seconds} s"),
        Exit::DiskLimit(limit) => format!("killed: {limit}"),
        Exit::Lost(why) => format!("lost: {why}"),
        Exit::Refused { step, detail } => format!("refused at {step}: {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::run::{HarvestRecord, Outcome};

    use super::*;

    fn text(event: Option<&Event>) -> String {
        serde_json::to_string(&object(3, "2026-01-02T03:04:05Z", event)).unwrap()
    }

    fn check(event: &Event, human: &str, program: &str) {
        assert_eq!(line(Some(event)), human);
        let head = r#"{"seq":3,"at":"2026-01-02T03:04:05Z","type":"#;
        assert_eq!(text(Some(event)), format!("{head}\"{}\"{program}}}", event.name()));
    }

    #[test]
    fn an_event_is_one_line_and_one_object() {
        check(
            &Event::Exited(Exit::Refused {
                step: "mounts".to_owned(),
                detail: "no\nroom".to_owned(),
            }),
            "refused at mounts: no room",
            r#","refused":{"detail":"no\nroom","step":"mounts"}"#,
        );
        check(
            &Event::Finished { outcome: Outcome::TimedOut, detail: "2h are over".to_owned() },
            "finished: timed_out, 2h are over",
            r#","outcome":"timed_out","outcome_detail":"2h are over""#,
        );
        check(
            &Event::ResultRecorded(HarvestRecord {
                result: None,
                branch: "main".to_owned(),
                files_added: 1,
                files_modified: 2,
                files_removed: 3,
                failure: String::new(),
                notes: vec!["no socket".to_owned()],
            }),
            "result: 1 added, 2 modified, 3 removed, on branch main",
            r#","branch":"main","failure":null,"files_added":1,"files_modified":2,"files_removed":3,"notes":["no socket"]"#,
        );
        check(
            &Event::Denied(handoff_proto::wire::Denied {
                host: "a.test".to_owned(),
                port: 443,
                reason: "not listed".to_owned(),
                fix: "--allow-host a.test".to_owned(),
            }),
            "denied: a.test:443: not listed (--allow-host a.test allows it)",
            r#","fix":"--allow-host a.test","host":"a.test","port":443,"reason":"not listed""#,
        );
        check(&Event::Paused("me".to_owned()), "paused by me", r#","by":"me""#);
    }

    #[test]
    fn an_event_of_a_newer_daemon_is_still_told() {
        for event in [None, Some(&Event::Unknown(Box::default()))] {
            assert!(text(event).ends_with(r#","type":"unknown"}"#), "{}", text(event));
        }
        assert!(line(None).contains("this version"));
    }
}
