//! A session of the real Claude Code that was left in the middle of something: a question that nobody
//! answered, a sandbox that was killed, a daemon that was restarted.

use handoff_tests::{
    agent::holds,
    begun::{Agent, Begun},
    model::Turn,
};

#[test]
fn a_question_that_was_open_here_when_its_interface_was_killed_is_asked_there() {
    Begun::with(Agent::Claude).is_asked_there();
}

#[test]
fn a_permission_that_was_open_here_when_its_interface_was_closed_is_asked_for_there() {
    let asks = Turn::bash("touch made");
    Begun::with(Agent::Claude).may_do_it_there(asks, "Do you want to proceed?");
}

#[test]
fn one_whose_sandbox_is_killed_in_a_tool_call_keeps_every_turn() {
    let told = Begun::with(Agent::Claude).is_cut_and_comes_back();
    holds(&told, &[Agent::Claude.interrupted()]);
}

#[test]
fn what_it_asks_is_answered_once_though_its_client_was_closed_and_the_daemon_restarted() {
    Begun::with(Agent::Claude).is_answered_once();
}
