//! A thread of the real Codex that was left in the middle of something: a question that nobody
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
const ABORTED: &str = r#""output":"aborted""#;

fn question() -> Turn {
    let choice = |label: &str| json!({ "label": label, "description": "x" });
    let question = json!({
        "id": "colour", "header": "Colour", "question": "Which colour?",
        "options": [choice("Red"), choice("Blue")],
    });
    Turn::tool("request_user_input", json!({ "questions": [question] }))
}

/// A thread that began here.
fn begun() -> (Driven, String) {
    let driven = Driven::with_codex(vec![Turn::text("LOCAL-ANSWER-1")]);
    driven.local_codex_turn(&["LOCAL-PROMPT-1"]);
    let (id, _) = sessions::rollout(&driven.world);
    (driven, id)
}

/// Hands a thread off whose interface shows a question that `asks` has it ask, once that was left;
/// the agent asks again what `again` has it ask. Returns what it needs then.
fn asked_again(
    asks: &Turn,
    shown: &str,
    again: &Turn,
    leave: impl FnOnce(Screen<'_>),
) -> (Driven, Value) {
    let (driven, id) = begun();
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.model.set(vec![asks.clone()]);
    let words = ["--enable", "default_mode_request_user_input", "-a", "on-request", "resume", &id];
    let screen = interface::codex(&driven, "asks", &words);
    screen.shows(&["LOCAL-ANSWER-1"]);
    screen.enter("LOCAL-PROMPT-2");
    screen.shows(&[shown]);
    handoff(&["-n", "early", "codex", "x"]).fails(5, &["is at work here", "interrupt it"]);
    leave(screen);
    driven.model.set(vec![again.clone(), Turn::text("REMOTE-ANSWER")]);
    driven.codex("on", &["-a", "untrusted", "REMOTE-PROMPT"]);
    let need = driven.needs("on", &Value::Null);
    (driven, need)
}

/// Brings the run's conversation back, and has it go on here.
fn comes_back(driven: &Driven, id: &str, texts: &[&str]) {
    let run = driven.finished("on");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(run["session_id"], id);
    let pulled = driven.world.handoff(&driven.project, ["--json", "pull", "on"]).json();
    assert_eq!(pulled["conversation"]["mode"], "forwarded", "{pulled:#}");
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-3")]);
    driven.local_codex_turn(&["resume", id, "LOCAL-PROMPT-3"]);
    holds(&driven.told_last(), texts);
    holds(&driven.told_last(), &["LOCAL-PROMPT-1", "LOCAL-ANSWER-1", "REMOTE-PROMPT"]);
}

#[test]
fn a_question_that_was_open_here_when_its_interface_was_killed_is_asked_there() {
    let (driven, need) =
        asked_again(&question(), "Which colour?", &question(), |screen| screen.kill());
    let (id, _) = sessions::rollout(&driven.world);
    assert_eq!(
        (&need["text"], &need["choices"]),
        (&json!("Which colour?"), &json!(["Red", "Blue"]))
    );
    let told = driven.told_last();
    holds(&told, &["LOCAL-PROMPT-1", "LOCAL-PROMPT-2", ABORTED, "REMOTE-PROMPT"]);
    driven.world.handoff(&driven.project, ["answer", "on", "--option", "2"]).ok();
    comes_back(&driven, &id, &["LOCAL-PROMPT-2", "Blue", "REMOTE-ANSWER"]);
}

#[test]
fn a_permission_that_was_open_here_when_its_interface_was_closed_is_asked_for_there() {
    let asks = Turn::tool(
        "exec_command",
        json!({
            "cmd": "touch made", "sandbox_permissions": "require_escalated",
            "justification": "MAY-IT",
        }),
    );
    let (driven, need) =
        asked_again(&asks, "MAY-IT", &Turn::exec("touch made"), |screen| screen.close());
    let (id, _) = sessions::rollout(&driven.world);
    assert_eq!(need["text"], "exec_command: touch made");
    let told = driven.told_last();
    holds(&told, &["LOCAL-PROMPT-1", "LOCAL-PROMPT-2", ABORTED, "REMOTE-PROMPT"]);
    assert!(!driven.project.join("made").exists());
    driven.world.handoff(&driven.project, ["approve", "on"]).ok();
    comes_back(&driven, &id, &["LOCAL-PROMPT-2", "REMOTE-ANSWER"]);
    assert!(driven.project.join("made").exists());
}

#[test]
fn one_whose_sandbox_is_killed_in_a_tool_call_keeps_every_turn() {
    let (driven, id) = begun();
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-2")]);
    driven.local_codex_turn(&["resume", &id, "LOCAL-PROMPT-2"]);
    driven.model.set(vec![
        Turn::exec("echo begun >> log; curl -s $OPENAI_BASE_URL/models/begun; perl -e 'sleep 600'"),
        Turn::text("REMOTE-ANSWER"),
    ]);
    let run = driven.codex("on", &["-a", "never", "REMOTE-PROMPT"]);
    driven.model.wait_for_path("/v1/models/begun");
    driven.kill_daemon();
    driven.cut(&run);
    drop(driven.finished("on"));
    let told = driven.told_last();
    holds(&told, &["LOCAL-PROMPT-1", "LOCAL-ANSWER-2", "REMOTE-PROMPT", "echo begun"]);
    // Killed at once, or told by its end of input before that.
    let ended = [ABORTED, r#"aborted by user","type":"function_call_output""#];
    assert!(ended.iter().any(|end| told.contains(end)), "{told}");
    holds(&told, &["You were interrupted"]);
    assert_eq!(of_type(&driven.events("on"), "resumed").len(), 1);
    comes_back(&driven, &id, &["LOCAL-ANSWER-2", "echo begun", "REMOTE-ANSWER"]);
    let log = std::fs::read_to_string(driven.project.join("log")).expect("read");
    assert_eq!(log, "begun\n");
}

#[test]
fn what_it_asks_is_answered_once_though_its_client_was_closed_and_the_daemon_restarted() {
    let (driven, id) = begun();
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.model.set(vec![
        question(),
        Turn::exec("echo made >> made"),
        Turn::text("REMOTE-ANSWER"),
    ]);
    let words = ["-f", "-n", "on", "codex", "-a", "untrusted", "REMOTE-PROMPT"];
    let mut client = driven.world.spawn(&driven.project, "handoff", words);
    drop(driven.model.wait_for_turn(2));
    let asked = driven.needs("on", &Value::Null);
    client.kill().expect("kill the client");
    assert!(!client.wait().expect("its end").success());
    driven.kill_daemon();
    assert_eq!(driven.needs("on", &Value::Null), asked);
    handoff(&["answer", "on", "--option", "2"]).ok();
    let permission = driven.needs("on", &asked["id"]);
    assert_eq!(permission["text"], "exec_command: echo made >> made");
    driven.kill_daemon();
    assert_eq!(driven.needs("on", &asked["id"]), permission);
    handoff(&["approve", "on"]).ok();
    // Whatever it was told before, it is told once.
    driven.kill_daemon();
    drop(driven.finished("on"));
    let told = driven.told_last();
    assert_eq!(told.matches("Blue").count(), 2, "in the question and in its answer: {told}");
    assert_eq!(driven.model.turns().len(), 4, "nothing was said twice");
    assert_eq!(of_type(&driven.events("on"), "input_answered").len(), 2);
    comes_back(&driven, &id, &["Blue", "REMOTE-ANSWER"]);
    let made = std::fs::read_to_string(driven.project.join("made")).expect("read");
    assert_eq!(made, "made\n");
}
