//! A session of the real Claude Code that is planning goes on planning in a sandbox, until its user
//! says that the plan is good.

use std::fs;

use handoff_tests::{
    agent::{Driven, holds, of_type},
    model::Turn,
    sessions,
    world::said,
};
use serde_json::{Value, json};

/// The file of the plan, as the agent was told of it.
fn plan_file(told: &str) -> String {
    let end = told.find(".md").expect("a plan") + ".md".len();
    let start = told[..end].rfind('/').expect("a path");
    told[start + 1..end].to_owned()
}

#[test]
fn a_plan_is_carried_out_once_it_is_approved_and_its_file_travels() {
    let driven = Driven::with(vec![Turn::text("LOCAL-ANSWER-1"), Turn::text("LOCAL-ANSWER-2")]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.local_turn(&["LOCAL-PROMPT-1"]);
    let (session, _) = sessions::transcript(&driven.world);
    let plans = ["--resume", &session, "--permission-mode", "plan"];
    driven.local_turn(&[&plans[..], &["LOCAL-PROMPT-2"]].concat());
    let told = driven.told_last();
    let told = &told[told.find("/plans/").expect("a plan")..];
    let file = driven.world.home().join(".claude/plans").join(plan_file(told));
    let write = |text: &str| Turn::tool("Write", json!({ "file_path": file, "content": text }));
    driven.model.set(vec![write("# First\n"), Turn::text("LOCAL-ANSWER-3")]);
    driven.local_turn(&[&plans[..], &["LOCAL-PROMPT-3"]].concat());
    assert_eq!(fs::read_to_string(&file).expect("the plan"), "# First\n");

    let exit = || Turn::tool("ExitPlanMode", json!({}));
    driven.model.set(vec![
        exit(),
        Turn::tool("Read", json!({ "file_path": file })),
        write("# Second\n"),
        exit(),
        Turn::bash("touch made"),
        Turn::bash("touch made-later"),
        Turn::text("REMOTE-ANSWER"),
    ]);
    let id = driven.claude("plan", &["REMOTE-PROMPT"]);
    let first = driven.needs("plan", &Value::Null);
    assert_eq!(first["text"], "carry out this plan?\n# First");
    handoff(&["deny", "plan", "--reason", "TESTS-FIRST"]).ok();
    let second = driven.needs("plan", &first["id"]);
    assert_eq!(second["text"], "carry out this plan?\n# Second");
    let told = driven.told_last();
    assert_eq!(told.matches("TESTS-FIRST").count(), 1, "{told}");
    driven.kill_daemon();
    assert_eq!(driven.needs("plan", &first["id"]), second);
    handoff(&["approve", "plan"]).ok();
    let third = driven.needs("plan", &second["id"]);
    assert_eq!(third["text"], "Bash: touch made");

    // Whatever happens to its machine now, it is not planning any more.
    driven.cut(&id, "touch made");
    let fourth = driven.needs("plan", &third["id"]);
    assert_eq!(fourth["text"], "Bash: touch made-later");
    handoff(&["approve", "plan"]).ok();
    let run = driven.finished("plan");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    driven.model.set(vec![Turn::text("REMOTE-ANSWER-2")]);
    handoff(&["say", "plan", "REMOTE-PROMPT-2"]).ok();
    let run = driven.finished("plan");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let events = driven.events("plan");
    let modes: Vec<_> =
        of_type(&events, "agent_ready").iter().map(|ready| &ready["permissions"]).collect();
    assert_eq!(modes, ["plan", "default", "default", "default"]);

    handoff(&["pull", "plan"]).ok();
    assert_eq!(fs::read_to_string(&file).expect("the plan"), "# Second\n");
    assert!(driven.project.join("made-later").exists() && !driven.project.join("made").exists());
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-4")]);
    let mut claude = driven.local_claude();
    claude.args(["-p", "--verbose", "--output-format", "stream-json", "--resume", &session]);
    let told = said(claude.arg("LOCAL-PROMPT-4")).ok();
    assert!(told.contains(r#""permissionMode":"default""#), "it plans again: {told}");
    let all = ["LOCAL-PROMPT-1", "LOCAL-ANSWER-3", "REMOTE-ANSWER-2", "LOCAL-PROMPT-4"];
    holds(&driven.told_last(), &all);
}
