//! What of a returned thread goes where. Checked against Codex 0.169.0.
//!
//! Codex opens a thread with the approvals and the sandbox that its file names last: those of a run,
//! which has a sandbox of its own, would let it do everything here. So a thread that comes back ends
//! with the settings that it had here, or with those of a careful user; so does that of a sub-agent,
//! whose parent's settings count as long as they go on together.

use std::io::{self, BufReader};

use handoff_proto::path::{AbsolutePath, TreePath};
use serde_json::{Value, json};

use super::session::{self, thread_of};
use crate::agents::claude;
use crate::agents::import::{Line, Lines, Part, Returned, Spawned};
use crate::agents::renames::Renames;

/// The record that tells the settings of a thread.
const SETTINGS: &str = "thread_settings_applied";

/// What a file of a thread with that id is to it; none for what is not brought back.
pub(in crate::agents) fn part(path: &TreePath, id: &str) -> Option<Part> {
    let names: Vec<&str> =
        path.components().map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match names.as_slice() {
        ["sessions", year, month, day, name]
            if [year, month, day].into_iter().all(|text| is_number(text)) =>
        {
            let thread = thread_of(name)?;
            Some(if thread == id { Part::Transcript } else { Part::Thread(thread.to_owned()) })
        }
        _ => None,
    }
}

/// The path of a thread's file under these names.
pub(in crate::agents) fn renamed(path: &TreePath, renames: &Renames) -> TreePath {
    TreePath::parse(&renames.text(path.as_bytes())).unwrap_or_else(|_| path.clone())
}

/// What a thread's first record says of the agent, if another one spawned it.
pub(in crate::agents) fn spawned(first: &[u8]) -> Option<Spawned> {
    session::meta(first)?.spawned()
}

/// Whether a line that a run added says nothing that decides here: all of them, since what comes
/// last decides, and that is ours.
pub(in crate::agents) fn is_record(line: &[u8]) -> bool {
    record(line).is_some()
}

/// The id of a fork, the same each time.
pub(in crate::agents) fn fork_id(id: &str, run: &str, number: usize) -> String {
    claude::fork_id(id, run, number)
}

/// Whether a thread that began there may be in this file: it has one alone.
pub(in crate::agents) fn begins_at(path: &TreePath) -> bool {
    !path.file_name().contains(&b'_')
}

/// The settings that a thread has at its end here: the last ones in the laptop's own part, else
/// careful ones of which the run decides nothing but the model's name.
pub(in crate::agents) fn closing(
    returned: &Returned,
    id: &str,
    directory: &AbsolutePath,
) -> io::Result<Option<Vec<u8>>> {
    let (mut last, mut here, mut model) = (0, None, None);
    let mut lines = Lines::new(BufReader::new(returned.from(0)));
    loop {
        let is_ours = lines.read() < returned.own;
        let record = match lines.next()? {
            None => break,
            Some(Line::Whole(line)) => record(line),
            Some(Line::TooLong) => None,
        };
        let Some(record) = record else { continue };
        last = last.max(record["ordinal"].as_u64().unwrap_or_default());
        if record["type"] == "turn_context" {
            model = Some(record["payload"]["model"].clone());
        }
        if is_ours && is_settings(&record) {
            here = Some(record);
        }
    }
    let careful = || Some(careful(name_of_a_model(model.as_ref()?)?, id, directory));
    let Some((mut settings, next)) = here.or_else(careful).zip(last.checked_add(1)) else {
        return Ok(None);
    };
    settings["ordinal"] = json!(next);
    Ok(Some(format!("{settings}\n").into_bytes()))
}

/// The name of a model, if it is one.
fn name_of_a_model(model: &Value) -> Option<&str> {
    let model = model.as_str()?;
    let is_name =
        !model.is_empty() && model.len() <= 100 && model.bytes().all(|b| b.is_ascii_graphic());
    is_name.then_some(model)
}

pub(super) fn record(line: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(line).ok().filter(Value::is_object)
}

pub(super) fn is_settings(record: &Value) -> bool {
    record["type"] == "event_msg" && record["payload"]["type"] == SETTINGS
}

/// The settings of a user who is asked about what leaves the directory.
fn careful(model: &str, id: &str, directory: &AbsolutePath) -> Value {
    let cwd = String::from_utf8_lossy(directory.as_bytes()).into_owned();
    let special = |kind: &str, access: &str| json!({ "path": { "type": "special", "value": { "kind": kind } }, "access": access });
    let path = |path: String| json!({ "type": "path", "path": path });
    let mut entries = vec![
        special("root", "read"),
        json!({ "path": path(cwd.clone()), "access": "write" }),
        special("slash_tmp", "write"),
        special("tmpdir", "write"),
    ];
    for name in [".git", ".agents", ".codex"] {
        entries.push(json!({
            "path": path(format!("{}/{name}", cwd.trim_end_matches('/'))),
            "access": "read",
            "missing_path_behavior": "skip",
        }));
    }
    json!({
        "timestamp": jiff::Timestamp::now().to_string(),
        "ordinal": 0,
        "type": "event_msg",
        "payload": {
            "type": SETTINGS,
            "thread_id": id,
            "thread_settings": {
                "model": model,
                "model_provider_id": "openai",
                "approval_policy": "on-request",
                "approvals_reviewer": "user",
                "requested_approvals_reviewer": "user",
                "permission_profile": {
                    "type": "managed",
                    "file_system": { "type": "restricted", "entries": entries },
                    "network": "restricted",
                },
                "cwd": cwd,
                "runtime_workspace_roots": [cwd],
                "collaboration_mode": {
                    "mode": "default",
                    "settings": {
                        "model": model,
                        "reasoning_effort": null,
                        "developer_instructions": null,
                    },
                },
                "disabled_plugin_ids": [],
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a2021d-47a1-7870-9b2a-bcb5742cd1e4";

    fn settings(ordinal: u64, policy: &str) -> String {
        let record = json!({
            "timestamp": "t", "ordinal": ordinal, "type": "event_msg",
            "payload": { "type": SETTINGS, "thread_id": ID, "thread_settings": {
                "model": "m", "approval_policy": policy, "cwd": "/w",
                "permission_profile": { "type": "disabled" },
            } },
        });
        format!("{record}\n")
    }

    #[test]
    fn only_threads_come_back() {
        let of = |path: &str| part(&path.parse().unwrap(), ID);
        let file = format!("sessions/2026/11/22/rollout-2026-11-22T07-16-43-{ID}.jsonl");
        assert_eq!(of(&file), Some(Part::Transcript));
        let continued = file.replace(".jsonl", "_01a20237-e760-7641-80da-bd15a5c16a59.jsonl");
        assert_eq!(of(&continued), Some(Part::Transcript));
        let other = ID.replace("7870", "7871");
        assert_eq!(of(&file.replace(ID, &other)), Some(Part::Thread(other)));
        for path in [
            &format!("sessions/x/11/22/rollout-2026-11-22T07-16-43-{ID}.jsonl"),
            &format!("sessions/rollout-2026-11-22T07-16-43-{ID}.jsonl"),
            "config.toml",
            "rules/default.rules",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    fn close(content: &str, own: usize) -> Option<Value> {
        let closing = closing(&Returned::of(content, own), ID, &"/w".parse().unwrap()).unwrap()?;
        assert!(closing.ends_with(b"\n"));
        Some(serde_json::from_slice(&closing).unwrap())
    }

    #[test]
    fn a_thread_ends_with_the_settings_that_it_had_here() {
        let here = settings(3, "untrusted");
        let record = close(&format!("{here}{}", settings(7, "never")), here.len()).unwrap();
        assert_eq!(record["payload"]["thread_settings"]["approval_policy"], "untrusted");
        assert_eq!(record["ordinal"], 8);
    }

    #[test]
    fn one_that_began_there_is_opened_with_care_whatever_it_says() {
        let turn = "{\"ordinal\":1,\"type\":\"turn_context\",\"payload\":{\"model\":\"m\"}}\n";
        for says in [
            settings(4, "never"),
            settings(4, "never").replace("\"/w\"", "\"/\""),
            String::new(),
            format!(
                "{{\"type\":\"event_msg\",\"payload\":{{\"type\":\"{SETTINGS}\",\"thread_settings\":1}}}}\n"
            ),
        ] {
            let closed = close(&format!("{turn}{says}"), 0).unwrap();
            let settings = &closed["payload"]["thread_settings"];
            assert_eq!(settings["approval_policy"], "on-request");
            assert_eq!(
                (settings["cwd"].as_str(), settings["model"].as_str()),
                (Some("/w"), Some("m"))
            );
            assert!(!settings.to_string().contains("disabled\""), "{settings}");
        }
        // Nothing that could be opened safely.
        assert_eq!(close(&settings(4, "never"), 0), None);
        let end = turn.replace(":1,", &format!(":{},", u64::MAX));
        assert_eq!(close(&end, 0), None);
    }
}
