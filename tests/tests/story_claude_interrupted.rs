//! A session of the real Claude Code that was left in the middle of something: a question that nobody
//! answered, a sandbox that was killed, a daemon that was restarted.

use handoff_tests::{
    agent::{Driven, holds, of_type},
    interface,
    model::Turn,
    screen::Screen,
    sessions,
};
use serde_json::{Value, json};

/// What the model is told of a call without a result.
const INTERRUPTED: &str = "[Tool call interrupted: the session ended before";

fn question() -> Turn {
    let choice = |label: &str| json!({ "label": label, "description": "x" });
    let question = json!({
        "question": "Which colour?", "header": "Colour", "multiSelect": false,
        "options": [choice("Red"), choice("Blue")],
    });
    Turn::tool("AskUserQuestion", json!({ "questions": [question] }))
}

/// A session that began here.
fn begun() -> (Driven, String) {
    let driven = Driven::with(vec![Turn::text("LOCAL-ANSWER-1")]);
    driven.local_turn(&["LOCAL-PROMPT-1"]);
    let (session, _) = sessions::transcript(&driven.world);
    (driven, session)
}

/// Hands a session off whose interface shows a question that `asks` has it ask, once that was left;
/// the agent asks again. Returns what it needs then, and what it was told before.
fn asked_again(asks: &Turn, shown: &str, leave: impl FnOnce(Screen<'_>)) -> (Driven, Value) {
    let (driven, session) = begun();
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.model.set(vec![asks.clone()]);
    let words = ["--permission-mode", "default", "--resume", &session];
    let screen = interface::claude(&driven, "asks", &words);
    screen.enter("LOCAL-PROMPT-2");
    screen.shows(&[shown]);
    handoff(&["-n", "early", "claude", "x"]).fails(5, &["is at work here", "interrupt it"]);
    leave(screen);
    driven.model.set(vec![asks.clone(), Turn::text("REMOTE-ANSWER")]);
    driven.claude("on", &["REMOTE-PROMPT"]);
    let need = driven.needs("on", &Value::Null);
    (driven, need)
}

/// Brings the run's conversation back, and has it go on here.
fn comes_back(driven: &Driven, session: &str, texts: &[&str]) {
    let run = driven.finished("on");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(run["session_id"], session);
    let pulled = driven.world.handoff(&driven.project, ["--json", "pull", "on"]).json();
    assert_eq!(pulled["conversation"]["mode"], "forwarded", "{pulled:#}");
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-3")]);
    driven.local_turn(&["--resume", session, "LOCAL-PROMPT-3"]);
    holds(&driven.told_last(), texts);
    holds(&driven.told_last(), &["LOCAL-PROMPT-1", "LOCAL-ANSWER-1", "REMOTE-PROMPT"]);
}

#[test]
fn a_question_that_was_open_here_when_its_interface_was_killed_is_asked_there() {
    let (driven, need) = asked_again(&question(), "Which colour?", |screen| screen.kill());
    let (session, _) = sessions::transcript(&driven.world);
    assert_eq!(
        (&need["text"], &need["choices"]),
        (&json!("Which colour?"), &json!(["Red", "Blue"]))
    );
    let told = driven.told_last();
    holds(&told, &["LOCAL-PROMPT-1", "LOCAL-PROMPT-2", INTERRUPTED, "REMOTE-PROMPT"]);
    driven.world.handoff(&driven.project, ["answer", "on", "--option", "2"]).ok();
    comes_back(&driven, &session, &["LOCAL-PROMPT-2", r#"\"Which colour?\"=\"Blue\""#]);
}

#[test]
fn a_permission_that_was_open_here_when_its_interface_was_closed_is_asked_for_there() {
    let asks = Turn::bash("touch made");
    let (driven, need) = asked_again(&asks, "Do you want to proceed?", |screen| screen.close());
    let (session, _) = sessions::transcript(&driven.world);
    assert_eq!(need["text"], "Bash: touch made");
    let told = driven.told_last();
    holds(&told, &["LOCAL-PROMPT-1", "LOCAL-PROMPT-2", INTERRUPTED, "REMOTE-PROMPT"]);
    assert!(!driven.project.join("made").exists());
    driven.world.handoff(&driven.project, ["approve", "on"]).ok();
    comes_back(&driven, &session, &["LOCAL-PROMPT-2", "REMOTE-ANSWER"]);
    assert!(driven.project.join("made").exists());
}

#[test]
fn one_whose_sandbox_is_killed_in_a_tool_call_keeps_every_turn() {
    let (driven, session) = begun();
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-2")]);
    driven.local_turn(&["--resume", &session, "LOCAL-PROMPT-2"]);
    driven.model.set(vec![
        Turn::bash(
            "echo begun >> log; curl -s $ANTHROPIC_BASE_URL/v1/models/begun; perl -e 'sleep 600'",
        ),
        Turn::text("REMOTE-ANSWER"),
    ]);
    let id = driven.claude("on", &["--dangerously-skip-permissions", "REMOTE-PROMPT"]);
    driven.model.wait_for_path("/v1/models/begun");
    driven.kill_daemon();
    driven.cut(&id);
    drop(driven.finished("on"));
    let told = driven.told_last();
    holds(&told, &["LOCAL-PROMPT-1", "LOCAL-ANSWER-2", "REMOTE-PROMPT", "echo begun", INTERRUPTED]);
    assert_eq!(of_type(&driven.events("on"), "resumed").len(), 1);
    comes_back(&driven, &session, &["LOCAL-ANSWER-2", "echo begun", "REMOTE-ANSWER"]);
    let log = std::fs::read_to_string(driven.project.join("log")).expect("read");
    assert_eq!(log, "begun\n");
}

#[test]
fn what_it_asks_is_answered_once_though_its_client_was_closed_and_the_daemon_restarted() {
    let (driven, session) = begun();
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.model.set(vec![
        question(),
        Turn::bash("echo made >> made"),
        Turn::text("REMOTE-ANSWER"),
    ]);
    let words = ["-f", "-n", "on", "claude", "--permission-mode", "default", "REMOTE-PROMPT"];
    let mut client = driven.world.spawn(&driven.project, "handoff", words);
    drop(driven.model.wait_for_turn(2));
    let asked = driven.needs("on", &Value::Null);
    client.kill().expect("kill the client");
    assert!(!client.wait().expect("its end").success());
    driven.kill_daemon();
    assert_eq!(driven.needs("on", &Value::Null), asked);
    handoff(&["answer", "on", "--option", "2"]).ok();
    let permission = driven.needs("on", &asked["id"]);
    assert_eq!(permission["text"], "Bash: echo made >> made");
    driven.kill_daemon();
    assert_eq!(driven.needs("on", &asked["id"]), permission);
    handoff(&["approve", "on"]).ok();
    // Whatever it was told before, it is told once.
    driven.kill_daemon();
    drop(driven.finished("on"));
    let told = driven.told_last();
    assert_eq!(told.matches(r#"\"Which colour?\"=\"Blue\""#).count(), 1, "{told}");
    assert_eq!(driven.model.turns().len(), 4, "nothing was said twice");
    assert_eq!(of_type(&driven.events("on"), "input_answered").len(), 2);
    comes_back(&driven, &session, &[r#"\"Which colour?\"=\"Blue\""#, "REMOTE-ANSWER"]);
    let made = std::fs::read_to_string(driven.project.join("made")).expect("read");
    assert_eq!(made, "made\n");
}
