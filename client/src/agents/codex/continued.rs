//! How a thread's file that is here stands to one that came back. Checked against Codex 0.169.0.
//!
//! Codex writes down more than what is said: that a turn began and ended, also when its prompt was kept
//! back, as that of the one which hands the thread off. What is here stays, to the byte, since Codex
//! remembers how far it has read; what the run added comes behind it, numbered on.

use std::collections::HashSet;

use serde_json::Value;

use crate::agents::import::Here;

/// One line after what was sent.
struct Line {
    record: Value,
    /// Whether it is a part of the conversation.
    is_said: bool,
}

/// The first `own` bytes of `content` were sent from here.
pub(in crate::agents) fn continued(mut here: Vec<u8>, content: Vec<u8>, own: usize) -> Here {
    let own = own.min(content.len());
    if here.len() <= own && content.starts_with(&here) {
        return Here::Begins { content, own };
    }
    if !here.starts_with(&content[..own]) || !here.ends_with(b"\n") {
        return Here::WentOn;
    }
    let (Some(known), Some(all)) = (lines(&here[own..]), lines(&content[own..])) else {
        return Here::WentOn;
    };
    let said = |lines: &[Line]| -> Vec<Value> {
        lines.iter().filter(|line| line.is_said).map(|line| line.record.clone()).collect()
    };
    let (known_said, all_said) = (said(&known), said(&all));
    if known_said.starts_with(&all_said) {
        return Here::HasIt;
    }
    if !all_said.starts_with(&known_said) {
        return Here::WentOn;
    }
    let ordinal = |line: &Value| line["ordinal"].as_u64();
    let mut next = records(&here).filter_map(|record| ordinal(&record)).max().unwrap_or_default();
    // An ordinal is no part of what a record says.
    let has: HashSet<String> = known.iter().map(|line| line.record.to_string()).collect();
    let mut left = known_said.len();
    let own = here.len();
    for Line { mut record, is_said } in all {
        if left > 0 {
            left -= usize::from(is_said);
            continue;
        }
        // The end of a turn that is here already.
        if !is_said && has.contains(&record.to_string()) {
            continue;
        }
        let Some(number) = next.checked_add(1) else { return Here::WentOn };
        next = number;
        record["ordinal"] = number.into();
        here.extend_from_slice(format!("{record}\n").as_bytes());
    }
    Here::Begins { content: here, own }
}

/// The whole lines of a part of a thread's file without their ordinals; none if one is no record.
fn lines(part: &[u8]) -> Option<Vec<Line>> {
    let lines = part.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines
        .map(|line| {
            let mut record: Value = serde_json::from_slice(line).ok()?;
            let is_said = is_said(&record);
            record.as_object_mut()?.remove("ordinal");
            Some(Line { record, is_said })
        })
        .collect()
}

fn records(content: &[u8]) -> impl Iterator<Item = Value> {
    let lines = content.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok())
}

/// Whether a record is a part of the conversation, and not only of what surrounds a turn.
fn is_said(record: &Value) -> bool {
    let payload = &record["payload"];
    match (record["type"].as_str(), payload["type"].as_str()) {
        (Some("turn_context"), _) => false,
        (Some("event_msg"), Some("task_complete")) => !payload["last_agent_message"].is_null(),
        (
            Some("event_msg"),
            Some("task_started" | "turn_aborted" | "thread_settings_applied" | "token_count"),
        ) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(ordinal: u64, kind: &str, payload: &Value) -> String {
        format!("{}\n", json!({ "ordinal": ordinal, "type": kind, "payload": payload }))
    }

    fn event(ordinal: u64, kind: &str, turn: &str) -> String {
        line(ordinal, "event_msg", &json!({ "type": kind, "turn_id": turn }))
    }

    fn said(ordinal: u64, text: &str) -> String {
        line(ordinal, "response_item", &json!({ "type": "message", "text": text }))
    }

    fn begins(here: &[String], content: &[String], own: &str) -> (Vec<Value>, usize) {
        let (here, content) = (here.concat(), content.concat());
        match continued(here.clone().into_bytes(), content.into_bytes(), own.len()) {
            Here::Begins { content, own } => {
                assert!(content.starts_with(here.as_bytes()), "what is here stays to the byte");
                assert!(own <= here.len());
                (records(&content).collect(), own)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_prompt_that_was_kept_back_here_is_no_turn() {
        let sent = [said(1, "LOCAL"), event(2, "task_started", "a")];
        let own = sent.concat();
        let ended = event(3, "task_complete", "a");
        let blocked = [
            event(4, "task_started", "b"),
            line(5, "turn_context", &json!({ "model": "m" })),
            event(6, "thread_settings_applied", "b"),
            event(7, "task_complete", "b"),
        ];
        let there =
            [event(3, "turn_aborted", "a"), said(4, "REMOTE"), event(5, "task_complete", "c")];
        let content = [&sent[..], &there].concat();
        let here = [&sent[..], std::slice::from_ref(&ended), &blocked].concat();
        let (all, own_now) = begins(&here, &content, &own);
        let ordinals: Vec<u64> =
            all.iter().filter_map(|record| record["ordinal"].as_u64()).collect();
        assert_eq!(ordinals, (1..=10).collect::<Vec<_>>());
        assert_eq!(all[8]["payload"]["text"], "REMOTE");
        assert_eq!(own_now, here.concat().len(), "the settings here are the last ones here");

        // It is here now, also with settings at its end, and the run's next turn comes behind it.
        let pulled: Vec<String> = all.iter().map(|record| format!("{record}\n")).collect();
        let pulled = [&pulled[..], &[event(11, "thread_settings_applied", "x")]].concat();
        let continued_by = |content: &[String]| {
            continued(pulled.concat().into_bytes(), content.concat().into_bytes(), own.len())
        };
        assert_eq!(continued_by(&content), Here::HasIt);
        let more = [&content[..], &[said(6, "REMOTE-2"), event(7, "task_complete", "d")]].concat();
        let (all, _) = begins(&pulled, &more, &own);
        assert_eq!(all.len(), pulled.len() + 2, "{all:#?}");
        assert_eq!(all[pulled.len()]["payload"]["text"], "REMOTE-2");
        let mine = [&pulled[..], &[said(12, "MINE")]].concat();
        let stands = |here: &[String], content: &[String]| {
            continued(here.concat().into_bytes(), content.concat().into_bytes(), own.len())
        };
        assert_eq!(stands(&mine, &more), Here::WentOn);
        assert_eq!(stands(&mine, &content), Here::HasIt);
    }

    #[test]
    fn what_was_said_here_is_kept_from_a_run_that_said_something_else() {
        let sent = [said(1, "LOCAL")];
        let content = [&sent[..], &[said(2, "REMOTE")]].concat();
        let stands = |here: &str| {
            continued(here.as_bytes().to_vec(), content.concat().into_bytes(), sent[0].len())
        };
        for here in [
            [&sent[..], &[said(2, "MINE")]].concat().concat(),
            // Not written to its end, or by something else.
            format!("{}{{\"type\":", sent[0]),
            format!("{}no record\n", sent[0]),
            said(1, "ANOTHER"),
        ] {
            assert_eq!(stands(&here), Here::WentOn, "{here}");
        }
        let whole = content.concat().into_bytes();
        let own = sent[0].len();
        assert_eq!(stands(&sent[0]), Here::Begins { content: whole, own });
    }
}
