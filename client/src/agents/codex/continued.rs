//! How a thread's file that is here stands to one that came back. Checked against Codex 0.169.0.
//!
//! Codex writes down more than what is said: that a turn began and ended, also when its prompt was kept
//! back, as that of the one which hands the thread off. What is here stays, to the byte, since Codex
//! remembers how far it has read; what the run added comes behind it, numbered on.

use std::collections::HashSet;
use std::io::{self, BufReader, Write};

use handoff_proto::chunk::ChunkId;
use serde_json::Value;

use super::import::{is_settings, record};
use crate::agents::import::{From, Here, Line, Lines, Returned, Standing};
use crate::agents::renames::Renames;

/// They have that many bytes in common at the beginning.
pub(in crate::agents) fn continued(
    common: u64,
    here: &Here,
    returned: &Returned,
    renames: &Renames,
) -> io::Result<Standing> {
    if here.len <= returned.own || common < returned.own {
        return Ok(Standing::by_bytes(common, here, returned));
    }
    Standing::by_what_was_said(here, returned, renames, |line| match record(line) {
        None => Some(line.to_vec()),
        Some(mut record) => is_said(&record).then(|| unnumbered(&mut record).into_bytes()),
    })
}

/// Writes what a run added behind what is here, numbered on, and at the end the settings that the
/// thread has here; `closing` where it has none.
pub(in crate::agents) fn append(
    here: &Here,
    added: From<'_>,
    renames: &Renames,
    closing: &[u8],
    into: &mut dyn Write,
) -> io::Result<()> {
    let Known { mut last, settings, around } = Known::read(here)?;
    let mut write = |mut record: Value| {
        let numbered_out = || io::Error::other("its records are numbered to the end");
        last = last.checked_add(1).ok_or_else(numbered_out)?;
        record["ordinal"] = last.into();
        writeln!(into, "{record}")
    };
    let mut lines = Lines::new(BufReader::new(renames.reader(added)));
    while let Some(line) = lines.next()? {
        let Line::Whole(line) = line else { continue };
        let Some(mut record) = record(line) else { continue };
        // The end of a turn that is here already.
        if is_said(&record) || !around.contains(&said_by(&mut record)) {
            write(record)?;
        }
    }
    match settings.or_else(|| record(&renames.text(closing))) {
        Some(settings) => write(settings),
        None => Ok(()),
    }
}

/// What a thread's file that is here holds.
struct Known {
    /// The number of its last record.
    last: u64,
    /// Its last settings.
    settings: Option<Value>,
    /// What surrounds its turns, without ordinals.
    around: HashSet<ChunkId>,
}

impl Known {
    fn read(here: &Here) -> io::Result<Self> {
        let (mut last, mut settings, mut around) = (0, None, HashSet::new());
        let mut lines = Lines::new(BufReader::new(From::new(&here.file, 0)));
        while let Some(line) = lines.next()? {
            let Line::Whole(line) = line else { continue };
            let Some(mut record) = record(line) else { continue };
            last = last.max(record["ordinal"].as_u64().unwrap_or_default());
            if !is_said(&record) {
                around.insert(said_by(&mut record));
            }
            if is_settings(&record) {
                settings = Some(record);
            }
        }
        Ok(Self { last, settings, around })
    }
}

/// What a record says; its ordinal is no part of that, and is taken off.
fn said_by(record: &mut Value) -> ChunkId {
    ChunkId::of(unnumbered(record).as_bytes())
}

fn unnumbered(record: &mut Value) -> String {
    if let Some(fields) = record.as_object_mut() {
        fields.remove("ordinal");
    }
    record.to_string()
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
    use crate::agents::import::Join;

    fn line(ordinal: u64, kind: &str, payload: &Value) -> String {
        format!("{}\n", json!({ "ordinal": ordinal, "type": kind, "payload": payload }))
    }

    fn event(ordinal: u64, kind: &str, turn: &str) -> String {
        line(ordinal, "event_msg", &json!({ "type": kind, "turn_id": turn }))
    }

    fn said(ordinal: u64, text: &str) -> String {
        line(ordinal, "response_item", &json!({ "type": "message", "text": text }))
    }

    /// How a file that is here stands to one that came back, and what it becomes.
    fn stands(here: &str, content: &str, own: &str) -> (Standing, String) {
        let common = here.bytes().zip(content.bytes()).take_while(|(a, b)| a == b).count();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("here");
        std::fs::write(&path, here).unwrap();
        let (opened, renames) = (Here::open(&path).unwrap().unwrap(), Renames::default());
        let returned = Returned::of(content, own.len());
        let standing = continued(common as u64, &opened, &returned, &renames).unwrap();
        let mut all = here.as_bytes().to_vec();
        if let Standing::Begins(Join { from, .. }) = standing {
            let closing = event(0, "thread_settings_applied", "closing");
            let added = returned.from(from);
            append(&opened, added, &renames, closing.as_bytes(), &mut all).unwrap();
        }
        (standing, String::from_utf8(all).unwrap())
    }

    fn records(content: &str) -> Vec<Value> {
        content.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_prompt_that_was_kept_back_here_is_no_turn() {
        let sent = [said(1, "LOCAL"), event(2, "task_started", "a")];
        let own = sent.concat();
        let blocked = [
            event(3, "task_complete", "a"),
            event(4, "task_started", "b"),
            line(5, "turn_context", &json!({ "model": "m" })),
            event(6, "thread_settings_applied", "b"),
            event(7, "task_complete", "b"),
        ];
        let there =
            [event(3, "turn_aborted", "a"), said(4, "REMOTE"), event(5, "task_complete", "c")];
        let content = [&sent[..], &there].concat().concat();
        let here = [&sent[..], &blocked].concat().concat();
        let (standing, pulled) = stands(&here, &content, &own);
        let keep = here.len() as u64;
        assert_eq!(standing, Standing::Begins(Join { keep, from: own.len() as u64 }));
        assert!(pulled.starts_with(&here), "what is here stays to the byte");
        let all = records(&pulled);
        let ordinals: Vec<u64> =
            all.iter().filter_map(|record| record["ordinal"].as_u64()).collect();
        assert_eq!(ordinals, (1..=11).collect::<Vec<_>>());
        assert_eq!(all[8]["payload"]["text"], "REMOTE");
        assert_eq!(
            all[10]["payload"],
            json!({ "type": "thread_settings_applied", "turn_id": "b" })
        );

        // It is here now, and the run's next turn comes behind it.
        assert_eq!(stands(&pulled, &content, &own).0, Standing::HasIt);
        let more = [content.as_str(), &said(6, "REMOTE-2"), &event(7, "task_complete", "d")];
        let (_, next) = stands(&pulled, &more.concat(), &own);
        assert!(next.starts_with(&pulled));
        let next = records(&next[pulled.len()..]);
        assert_eq!(next.len(), 3, "{next:#?}");
        assert_eq!(
            (&next[0]["payload"]["text"], &next[0]["ordinal"]),
            (&json!("REMOTE-2"), &json!(12))
        );
        let mine = format!("{pulled}{}", said(12, "MINE"));
        assert_eq!(stands(&mine, &more.concat(), &own).0, Standing::WentOn);
        assert_eq!(stands(&mine, &content, &own).0, Standing::HasIt);
    }

    #[test]
    fn the_end_of_a_turn_that_is_here_is_not_added_again() {
        let (own, ended) = (said(1, "LOCAL"), event(2, "task_complete", "a"));
        let here = format!("{own}{ended}{}", event(3, "task_started", "b"));
        let content = format!("{own}{}{}", event(5, "task_complete", "a"), said(6, "REMOTE"));
        let (_, all) = stands(&here, &content, &own);
        let added = records(&all[here.len()..]);
        assert_eq!(added[0]["payload"]["text"], "REMOTE", "{added:#?}");
        assert_eq!(added[1]["payload"]["turn_id"], "closing", "there were no settings here");
        assert_eq!(added.len(), 2);
    }

    #[test]
    fn what_was_said_here_is_kept_from_a_run_that_said_something_else() {
        let sent = said(1, "LOCAL");
        let content = format!("{sent}{}", said(2, "REMOTE"));
        for here in [
            format!("{sent}{}", said(2, "MINE")),
            // Not written to its end, or by something else.
            format!("{sent}{{\"type\":"),
            format!("{sent}no record\n"),
            said(1, "ANOTHER"),
        ] {
            assert_eq!(stands(&here, &content, &sent).0, Standing::WentOn, "{here}");
        }
        assert_eq!(stands(&sent, &content, &sent).0, Standing::Begins(Join::default()));
    }
}
