//! A session of the real Claude Code that was left in the middle of something: a question that nobody
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
const INTERRUPTED: &str = "[Tool call interrupted: the session ended before";

/// Has an interface ask what `asks` has it ask, leaves that, and hands its session off.
fn asked_again(
    begun: &Begun,
    asks: &Turn,
    shown: &str,
    leave: impl for<'a> FnOnce(Screen<'a>),
) -> Value {
    begun.driven.model.set(vec![asks.clone()]);
    let words = ["--permission-mode", "default", "--resume", &begun.id];
    let screen = interface::claude(&begun.driven, "asks", &words);
    let need = begun.asked_again(screen, (shown, leave), asks.clone(), &[]);
    holds(&begun.driven.told_last(), &[INTERRUPTED]);
    need
}

#[test]
fn a_question_that_was_open_here_when_its_interface_was_killed_is_asked_there() {
    let begun = Begun::with(Agent::Claude);
    let need =
        asked_again(&begun, &Agent::Claude.question(), "Which colour?", |screen| screen.kill());
    assert_eq!(
        (&need["text"], &need["choices"]),
        (&json!("Which colour?"), &json!(["Red", "Blue"]))
    );
    begun.handoff(&["answer", "on", "--option", "2"]).ok();
    begun.comes_back(&["LOCAL-PROMPT-2", r#"\"Which colour?\"=\"Blue\""#]);
}

#[test]
fn a_permission_that_was_open_here_when_its_interface_was_closed_is_asked_for_there() {
    let begun = Begun::with(Agent::Claude);
    let asks = Turn::bash("touch made");
    let need = asked_again(&begun, &asks, "Do you want to proceed?", |screen| screen.close());
    assert_eq!(need["text"], "Bash: touch made");
    assert!(!begun.driven.project.join("made").exists());
    begun.handoff(&["approve", "on"]).ok();
    begun.comes_back(&["LOCAL-PROMPT-2", "REMOTE-ANSWER"]);
    assert!(begun.driven.project.join("made").exists());
}

#[test]
fn one_whose_sandbox_is_killed_in_a_tool_call_keeps_every_turn() {
    holds(&Begun::with(Agent::Claude).is_cut_and_comes_back(), &[INTERRUPTED]);
}

#[test]
fn what_it_asks_is_answered_once_though_its_client_was_closed_and_the_daemon_restarted() {
    Begun::with(Agent::Claude).is_answered_once();
}
