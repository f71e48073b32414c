//! Threads of the real Codex that are large or in places with odd names, or had help.

use std::fs;

use handoff_tests::{
    agent::{Driven, holds, of_type},
    begun::{Agent, Begun},
    model::Turn,
    sessions,
};
use serde_json::json;

#[test]
fn a_thread_of_fifty_megabytes_travels_and_its_next_turn_is_cheap() {
    let begun = Begun::with(Agent::Codex);
    let (_, rollout) = sessions::rollout(&begun.driven.world);
    let mut text = fs::read_to_string(&rollout).expect("read");
    let ordinal = text.lines().count();
    let record = |noise: &str| {
        json!({
            "timestamp": "2026-11-22T07:16:43.000Z", "ordinal": ordinal, "type": "event_msg",
            "payload": { "type": "agent_reasoning_raw_content", "text": noise },
        })
    };
    text.push_str(&sessions::noise(50_000_000, record));
    begun.driven.world.write(&rollout, &text);
    begun.travels_twice();
}

#[test]
fn a_thread_with_a_sub_agent_in_a_place_with_an_odd_name_travels() {
    // What the sub-agent is told is for it alone.
    let script = |name: &str| {
        let task = json!({ "task_name": name, "message": "TASK", "fork_turns": "none" });
        let told = format!("\"recipient\":\"/root/{name}\"");
        vec![
            Turn::text(&format!("{name}-SUB-ANSWER")).when(&told),
            Turn::tool("collaboration.spawn_agent", task),
            Turn::tool("collaboration.wait_agent", json!({ "timeout_ms": 30_000 })),
        ]
    };
    let mut driven = Driven::with_codex(script("here"));
    let project = driven.world.directory("sp ace. (x) \u{e9}/.hidden_");
    driven.world.git(&project, &["init", "-q"]);
    driven.project = project;
    driven.model.then([Turn::text("LOCAL-ANSWER")]);
    driven.local_codex_turn(&["-m", "gpt-6.1-sol", "LOCAL-PROMPT"]);
    let seen = "const r = await tools.exec_command({cmd: 'pwd > where'}); text(r);";
    driven.model.set(script("there"));
    driven.model.then([Turn::tool("functions.exec", seen.into()), Turn::text("REMOTE-ANSWER")]);
    driven.codex("odd", &["REMOTE-PROMPT"]);
    let run = driven.finished("odd");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let told = driven.told_last();
    holds(&told, &["LOCAL-PROMPT", "here-SUB-ANSWER", "LOCAL-ANSWER", "there-SUB-ANSWER"]);
    let events = driven.events("odd");
    assert!(of_type(&events, "tool_started").iter().any(|tool| tool["kind"] == "subagent"));
    let pulled = driven.world.handoff(&driven.project, ["--json", "pull", "odd"]).json();
    assert_eq!(pulled["conversation"]["mode"], "forwarded", "{pulled:#}");
    let place = fs::read_to_string(driven.project.join("where")).expect("read");
    assert_eq!(place.trim_end(), driven.project.to_str().expect("text"));
    let session = run["session_id"].as_str().expect("an id");
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-2")]);
    driven.local_codex_turn(&["resume", "-m", "gpt-6.1-sol", session, "LOCAL-PROMPT-2"]);
    let all = ["LOCAL-PROMPT", "here-SUB-ANSWER", "there-SUB-ANSWER", "REMOTE-ANSWER"];
    holds(&driven.told_last(), &all);
}
