//! A thread of the real Codex that is planning goes on planning in a sandbox, until its user says that
//! the plan is good.

use handoff_tests::{
    agent::{Driven, holds},
    interface,
    model::Turn,
    sessions,
};
use serde_json::Value;

fn proposes(plan: &str) -> Turn {
    Turn::text(&format!("I looked at it.\n<proposed_plan>\n{plan}\n</proposed_plan>\n"))
}

/// The mode that Codex named to the model last.
fn mode(told: &str) -> &str {
    let (_, last) = told.rsplit_once("<collaboration_mode># ").expect("a mode");
    last.split(['(', '\\']).next().expect("its name").trim()
}

#[test]
fn a_plan_is_carried_out_once_it_is_approved() {
    let driven = Driven::with_codex(vec![Turn::text("LOCAL-ANSWER-1")]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.local_codex_turn(&["LOCAL-PROMPT-1"]);
    let (id, _) = sessions::rollout(&driven.world);
    driven.model.set(vec![proposes("# First")]);
    let screen = interface::codex(&driven, "plans", &["resume", &id]);
    screen.shows(&["LOCAL-ANSWER-1"]);
    screen.key_until("BTab", "plan mode", |screen| screen.has(&["Plan mode"]));
    screen.enter("LOCAL-PROMPT-2", &["First", "Implement this plan?"]);
    sessions::wait_until_written(&driven.world.home().join(".codex"), "# First");
    screen.close();

    driven.model.set(vec![
        proposes("# Second"),
        proposes("# Third"),
        Turn::exec("touch made"),
        Turn::text("REMOTE-ANSWER"),
    ]);
    driven.codex("plan", &["REMOTE-PROMPT"]);
    let second = driven.needs("plan", &Value::Null);
    assert_eq!(
        (&second["kind"], &second["text"]),
        (&"permission".into(), &"carry out this plan?\n# Second".into())
    );
    holds(&driven.told_last(), &["LOCAL-PROMPT-1", "LOCAL-PROMPT-2", "# First", "REMOTE-PROMPT"]);
    assert_eq!(mode(&driven.told_last()), "Plan Mode");
    handoff(&["deny", "plan", "--reason", "TESTS-FIRST"]).ok();
    let third = driven.needs("plan", &second["id"]);
    assert_eq!(third["text"], "carry out this plan?\n# Third");
    assert_eq!(driven.told_last().matches("TESTS-FIRST").count(), 1);
    assert_eq!(mode(&driven.told_last()), "Plan Mode");
    driven.kill_daemon();
    assert_eq!(driven.needs("plan", &second["id"]), third);
    assert!(!driven.project.join("made").exists());
    handoff(&["approve", "plan"]).ok();
    // Whatever it was told before, it is told once.
    driven.kill_daemon();
    let run = driven.finished("plan");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let told = driven.told_last();
    assert_eq!(told.matches("Implement the plan.").count(), 1, "{told}");
    assert_eq!(mode(&told), "Collaboration Mode: Default");
    let watched = handoff(&["watch", "plan"]).ok();
    holds(&watched, &["says: # Second", "needs input: carry out this plan?", "TESTS-FIRST"]);

    // It is not planning any more, also in another turn.
    driven.model.set(vec![proposes("# Fourth")]);
    handoff(&["say", "plan", "REMOTE-PROMPT-2"]).ok();
    let run = driven.finished("plan");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(mode(&driven.told_last()), "Collaboration Mode: Default");
    let pulled = handoff(&["--json", "pull", "plan"]).json();
    assert_eq!(pulled["conversation"]["mode"], "forwarded", "{pulled:#}");
    assert!(driven.project.join("made").exists());
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-3")]);
    driven.local_codex_turn(&["resume", &id, "LOCAL-PROMPT-3"]);
    let told = driven.told_last();
    holds(&told, &["LOCAL-PROMPT-1", "# First", "# Third", "REMOTE-ANSWER"]);
    assert_eq!(mode(&told), "Plan Mode", "it is as it was here");
}
