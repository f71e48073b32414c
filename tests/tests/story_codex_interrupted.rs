//! A thread of the real Codex that was left in the middle of something: a question that nobody
//! answered, a sandbox that was killed, a daemon that was restarted.

use handoff_tests::{
    agent::holds,
    begun::{Agent, Begun},
    model::Turn,
};
use serde_json::json;

#[test]
fn a_question_that_was_open_here_when_its_interface_was_killed_is_asked_there() {
    Begun::with(Agent::Codex).is_asked_there();
}

#[test]
fn a_permission_that_was_open_here_when_its_interface_was_closed_is_asked_for_there() {
    let asks = json!({
        "cmd": "touch made", "sandbox_permissions": "require_escalated", "justification": "MAY-IT",
    });
    Begun::with(Agent::Codex).may_do_it_there(Turn::tool("exec_command", asks), "MAY-IT");
}

#[test]
fn one_whose_sandbox_is_killed_in_a_tool_call_keeps_every_turn() {
    let told = Begun::with(Agent::Codex).is_cut_and_comes_back();
    // Killed at once, or told by its end of input before that.
    let ended = [Agent::Codex.interrupted(), r#"aborted by user","type":"function_call_output""#];
    assert!(ended.iter().any(|end| told.contains(end)), "{told}");
    holds(&told, &["You were interrupted"]);
}

#[test]
fn what_it_asks_is_answered_once_though_its_client_was_closed_and_the_daemon_restarted() {
    Begun::with(Agent::Codex).is_answered_once();
}
