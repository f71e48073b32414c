//! A thread of the real Codex that was left in the middle of something: a question that nobody
//! answered, a sandbox that was killed, a daemon that was restarted.

use handoff_tests::{
    agent::holds,
    begun::{Agent, Begun},
    interface,
    model::Turn,
    screen::Screen,
};
use serde_json::{Value, json};

/// What the model is told of a call without a result.
const ABORTED: &str = r#""output":"aborted""#;

/// Has an interface ask what `asks` has it ask, leaves that, and hands its thread off, where `again`
/// has it ask.
fn asked_again(
    begun: &Begun,
    (asks, again): (Turn, Turn),
    shown: &str,
    leave: impl for<'a> FnOnce(Screen<'a>),
) -> Value {
    begun.driven.model.set(vec![asks]);
    let words =
        ["--enable", "default_mode_request_user_input", "-a", "on-request", "resume", &begun.id];
    let screen = interface::codex(&begun.driven, "asks", &words);
    screen.shows(&["LOCAL-ANSWER-1"]);
    let need = begun.asked_again(screen, (shown, leave), again, &["-a", "untrusted"]);
    holds(&begun.driven.told_last(), &[ABORTED]);
    need
}

#[test]
fn a_question_that_was_open_here_when_its_interface_was_killed_is_asked_there() {
    let begun = Begun::with(Agent::Codex);
    let asks = (Agent::Codex.question(), Agent::Codex.question());
    let need = asked_again(&begun, asks, "Which colour?", |screen| screen.kill());
    assert_eq!(
        (&need["text"], &need["choices"]),
        (&json!("Which colour?"), &json!(["Red", "Blue"]))
    );
    begun.handoff(&["answer", "on", "--option", "2"]).ok();
    begun.comes_back(&["LOCAL-PROMPT-2", "Blue", "REMOTE-ANSWER"]);
}

#[test]
fn a_permission_that_was_open_here_when_its_interface_was_closed_is_asked_for_there() {
    let begun = Begun::with(Agent::Codex);
    let asks = Turn::tool(
        "exec_command",
        json!({
            "cmd": "touch made", "sandbox_permissions": "require_escalated",
            "justification": "MAY-IT",
        }),
    );
    let asks = (asks, Turn::exec("touch made"));
    let need = asked_again(&begun, asks, "MAY-IT", |screen| screen.close());
    assert_eq!(need["text"], "exec_command: touch made");
    assert!(!begun.driven.project.join("made").exists());
    begun.handoff(&["approve", "on"]).ok();
    begun.comes_back(&["LOCAL-PROMPT-2", "REMOTE-ANSWER"]);
    assert!(begun.driven.project.join("made").exists());
}

#[test]
fn one_whose_sandbox_is_killed_in_a_tool_call_keeps_every_turn() {
    let told = Begun::with(Agent::Codex).is_cut_and_comes_back();
    // Killed at once, or told by its end of input before that.
    let ended = [ABORTED, r#"aborted by user","type":"function_call_output""#];
    assert!(ended.iter().any(|end| told.contains(end)), "{told}");
    holds(&told, &["You were interrupted"]);
}

#[test]
fn what_it_asks_is_answered_once_though_its_client_was_closed_and_the_daemon_restarted() {
    Begun::with(Agent::Codex).is_answered_once();
}
