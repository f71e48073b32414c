//! A limit of time that waits with its agent: an unanswered question costs none of it.

use handoff_tests::{
    agent::{Driven, of_type},
    model::Turn,
};
use serde_json::{Value, json};

/// Enough for an agent to begin, however much else is going on.
const LIMIT: &str = "59s";

/// What the agent asks.
fn question() -> Value {
    json!({ "questions": [
        { "question": "Which colour?", "header": "Colour", "multiSelect": false, "options": [
            { "label": "Red", "description": "r" }, { "label": "Blue", "description": "b" } ] },
    ] })
}

/// Waits as long as the limit lasts: until it has ended a command that was handed off just now.
fn until_time_is_over(driven: &Driven) {
    let id = driven.world.hand_off(&driven.project, ["--time-limit", LIMIT, "sleep", "1000"]);
    assert_eq!(driven.finished(&id)["outcome"], "timed_out");
}

#[test]
fn a_question_may_take_longer_than_the_limit_and_work_may_not() {
    let driven = Driven::with(vec![
        Turn::tool("AskUserQuestion", question()),
        Turn::tool("AskUserQuestion", question()),
        Turn::text("Blue it is."),
        Turn::bash("echo begun; perl -e 'sleep 600'"),
    ]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    let claude = |name: &str| {
        let agent = ["claude", "--dangerously-skip-permissions", "ask me"];
        let words = [&["--time-limit", LIMIT, "-n", name][..], &agent].concat();
        driven.world.hand_off(&driven.project, words);
        driven.needs(name, &Value::Null)
    };
    claude("patient");
    claude("busy");
    driven.kill_daemon();
    until_time_is_over(&driven);
    let waiting = driven.show("patient");
    assert_eq!(waiting["state"], "needs_input", "{waiting:#}");
    let worked = waiting["worked_seconds"].as_i64().expect("a number");
    assert!(worked < 59 && waiting["working_since"].is_null(), "{waiting:#}");
    let shown = handoff(&["show", "patient"]).ok();
    assert!(shown.contains("worked ") && shown.contains(" of 59s at most\n"), "{shown}");
    handoff(&["answer", "patient", "--option", "2"]).ok();
    let run = driven.finished("patient");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");

    handoff(&["answer", "busy", "--option", "1"]).ok();
    let run = driven.finished("busy");
    assert_eq!(run["outcome"], "timed_out", "{run:#}");
    assert_eq!(of_type(&driven.events("busy"), "input_answered").len(), 1);
    let detail = run["outcome_detail"].as_str().expect("detail");
    assert!(detail.contains("59 s"), "{detail}");
}
