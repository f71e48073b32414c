//! What of a returned thread goes where. Checked against Codex 0.169.0.
//!
//! Codex opens a thread with the approvals and the sandbox that its file names last: those of a run,
//! which has a sandbox of its own, would let it do everything here. So a thread that comes back ends
//! with the settings that it had here, or with those of a careful user.

use handoff_proto::path::{AbsolutePath, TreePath};
use serde_json::{Value, json};

use super::session::thread_of;
use crate::agents::claude;
use crate::agents::import::Part;

/// The record that tells the settings of a thread.
const SETTINGS: &str = "thread_settings_applied";

/// What a file of a thread with that id is to it; none for what is not brought back. A sub-agent's
/// thread is one that could be opened by itself, with whatever settings: it stays.
pub(in crate::agents) fn part(path: &TreePath, id: &str) -> Option<Part> {
    let names: Vec<&str> =
        path.components().map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match names.as_slice() {
        ["sessions", year, month, day, name]
            if [year, month, day].into_iter().all(|text| is_number(text)) =>
        {
            (thread_of(name) == Some(id)).then_some(Part::Transcript)
        }
        _ => None,
    }
}

/// The path of a thread's file if the thread is called `to`.
pub(in crate::agents) fn renamed(path: &TreePath, from: &str, to: &str) -> TreePath {
    let name = String::from_utf8_lossy(path.as_bytes()).replace(from, to);
    name.parse().unwrap_or_else(|_| path.clone())
}

/// The content of a thread's file if the thread is called `to`.
pub(in crate::agents) fn rewritten(content: &[u8], from: &str, to: &str) -> Vec<u8> {
    if from == to || from.is_empty() || from.len() != to.len() {
        return content.to_vec();
    }
    let mut content = content.to_vec();
    let mut at = 0;
    while let Some(place) =
        content[at..].windows(from.len()).position(|part| part == from.as_bytes())
    {
        content[at + place..at + place + to.len()].copy_from_slice(to.as_bytes());
        at += place + to.len();
    }
    content
}

/// Whether a line that a run added says nothing that decides here: all of them, since what comes
/// last decides, and that is ours.
pub(in crate::agents) fn is_harmless(line: &[u8]) -> bool {
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

/// The thread with its settings here at its end: the last ones among the first `own` bytes, which
/// are the laptop's, else careful ones of which the run decides nothing but the model's name.
pub(in crate::agents) fn closed(
    mut content: Vec<u8>,
    own: usize,
    id: &str,
    directory: &AbsolutePath,
) -> Option<Vec<u8>> {
    let lines = || content.split(|byte| *byte == b'\n').filter_map(record);
    let ordinals = lines().filter_map(|record| record["ordinal"].as_u64());
    let next = ordinals.max().unwrap_or_default().checked_add(1)?;
    let here = content[..own.min(content.len())].rsplit(|byte| *byte == b'\n').filter_map(record);
    let mut settings = match { here }.find(is_settings) {
        Some(settings) => settings,
        None => careful(&model_of(lines())?, id, directory),
    };
    settings["ordinal"] = json!(next);
    content.extend_from_slice(format!("{settings}\n").as_bytes());
    Some(content)
}

/// The model that was used last, if that is a name.
fn model_of(records: impl Iterator<Item = Value>) -> Option<String> {
    let turns = records.filter(|record| record["type"] == "turn_context");
    let model = turns.last()?["payload"]["model"].as_str()?.to_owned();
    let is_name =
        !model.is_empty() && model.len() <= 100 && model.bytes().all(|b| b.is_ascii_graphic());
    is_name.then_some(model)
}

fn record(line: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(line).ok().filter(Value::is_object)
}

fn is_settings(record: &Value) -> bool {
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

    fn last(content: &[u8]) -> Value {
        let text = std::str::from_utf8(content).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    #[test]
    fn only_the_threads_own_files_come_back() {
        let of = |path: &str| part(&path.parse().unwrap(), ID);
        let file = format!("sessions/2026/11/22/rollout-2026-11-22T07-16-43-{ID}.jsonl");
        assert_eq!(of(&file), Some(Part::Transcript));
        let continued = file.replace(".jsonl", "_01a20237-e760-7641-80da-bd15a5c16a59.jsonl");
        assert_eq!(of(&continued), Some(Part::Transcript));
        for path in [
            file.replace("7870", "7871").as_str(),
            &format!("sessions/x/11/22/rollout-2026-11-22T07-16-43-{ID}.jsonl"),
            &format!("sessions/rollout-2026-11-22T07-16-43-{ID}.jsonl"),
            "config.toml",
            "rules/default.rules",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    fn close(content: &str, own: usize) -> Option<Vec<u8>> {
        closed(content.as_bytes().to_vec(), own, ID, &"/w".parse().unwrap())
    }

    #[test]
    fn a_thread_ends_with_the_settings_that_it_had_here() {
        let here = settings(3, "untrusted");
        let all = format!("{here}{}", settings(7, "never"));
        let closed = close(&all, here.len()).unwrap();
        let record = last(&closed);
        assert_eq!(record["payload"]["thread_settings"]["approval_policy"], "untrusted");
        assert_eq!(record["ordinal"], 8);
        assert!(closed.starts_with(all.as_bytes()));
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
            let settings = &last(&closed)["payload"]["thread_settings"];
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

    #[test]
    fn a_fork_has_another_name_in_all_its_records() {
        let fork = fork_id(ID, "run", 1);
        let content = rewritten(settings(1, "never").as_bytes(), ID, &fork);
        let text = String::from_utf8(content).unwrap();
        assert!(text.contains(&fork) && !text.contains(ID));
    }
}
