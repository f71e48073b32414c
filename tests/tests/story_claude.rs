//! The real Claude Code goes on in a sandbox, driven by the daemon, with a scripted model.

use std::fs;

use handoff_tests::{
    agent::{Driven, SECRET, holds, of_type},
    model::{Hold, Turn},
};
use serde_json::{Value, json};

#[test]
fn it_edits_runs_and_plans_and_all_of_it_comes_back() {
    let driven = Driven::with(vec![
        Turn::tool("TaskCreate", json!({ "subject": "Write it", "description": "x" })),
        Turn::tool("TaskUpdate", json!({ "taskId": "1", "status": "completed" })),
        Turn::bash("cat notes; echo two >> notes; echo key $ANTHROPIC_API_KEY; env > made-by-run"),
        Turn::bash("exit 3"),
        Turn::text("It is *done*."),
    ]);
    driven.claude("work", &["--dangerously-skip-permissions", "append", "two"]);
    let run = driven.finished("work");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!((run["agent"].as_str(), run["exit_code"].as_i64()), (Some("claude"), Some(0)));
    assert!(driven.model.turns()[0].body.to_string().contains("append two"));

    let events = driven.events("work");
    let ready = of_type(&events, "agent_ready")[0];
    assert_eq!(ready["session_id"], run["session_id"]);
    assert_eq!(
        (ready["version"].as_str(), ready["permissions"].as_str()),
        (Some("2.1.330"), Some("bypassPermissions"))
    );
    let tools: Vec<&str> =
        of_type(&events, "tool_started").iter().filter_map(|tool| tool["kind"].as_str()).collect();
    assert_eq!(tools, ["plan", "plan", "run", "run"]);
    let ended = of_type(&events, "tool_ended");
    assert_eq!(
        ended.iter().map(|end| end["failed"] == true).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    let plan = of_type(&events, "agent_plan");
    assert_eq!(
        plan.last().expect("a plan")["items"],
        json!([{ "text": "Write it", "state": "completed" }])
    );
    assert_eq!(of_type(&events, "agent_text")[0]["text"], "It is *done*.");
    assert!(of_type(&events, "agent_usage")[0]["cost_usd"].as_f64().is_some());
    let watched = driven.world.handoff(&driven.project, ["watch", "work"]).ok();
    for line in ["uses Bash: cat notes", "failed", "plan: 1 of 1 done", "says: It is *done*."] {
        assert!(watched.contains(line), "no {line:?} in {watched}");
    }

    driven.world.handoff(&driven.project, ["pull", "work"]).ok();
    assert_eq!(fs::read_to_string(driven.project.join("notes")).expect("read"), "one\ntwo\n");
    let env = fs::read_to_string(driven.project.join("made-by-run")).expect("read");
    assert!(env.contains("ANTHROPIC_API_KEY=handoff-placeholder"), "{env}");

    // The key reached the model, and is nowhere else but in the one file.
    for asked in driven.model.turns() {
        assert_eq!(asked.headers["x-api-key"], SECRET);
    }
    let kept = driven.holding(SECRET);
    assert!(kept.len() == 1 && kept[0].ends_with("credentials/anthropic"), "{kept:?}");
}

#[test]
fn what_it_asks_is_answered_once_whatever_is_restarted_meanwhile() {
    let ask = json!({ "questions": [
        { "question": "Which colour?", "header": "Colour", "multiSelect": false, "options": [
            { "label": "Red", "description": "r" }, { "label": "Blue", "description": "b" } ] },
        { "question": "Which sizes?", "header": "Sizes", "multiSelect": true, "options": [
            { "label": "S", "description": "s" }, { "label": "M", "description": "m" } ] },
    ] });
    let driven = Driven::with(vec![
        Turn::bash("touch allowed"),
        Turn::bash("touch denied"),
        Turn::tool("AskUserQuestion", ask),
        Turn::text("Thank you."),
    ]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.claude("asks", &["ask me"]);
    let first = driven.needs("asks", &Value::Null);
    assert_eq!(
        (first["kind"].as_str(), first["text"].as_str()),
        (Some("permission"), Some("Bash: touch allowed"))
    );
    handoff(&["watch", "asks"]).fails(4, &[]);
    handoff(&["answer", "asks", "yes"]).fails(2, &["asks for permission"]);
    handoff(&["answer", "asks"]).fails(2, &["`handoff approve asks`"]);

    // The daemon goes away; the agent waits. Any command starts the daemon again.
    driven.kill_daemon();
    assert_eq!(driven.needs("asks", &Value::Null), first);
    handoff(&["approve", "asks"]).ok();
    let second = driven.needs("asks", &first["id"]);
    handoff(&["deny", "asks", "--reason", "leave that alone"]).ok();
    let colour = driven.needs("asks", &second["id"]);
    assert_eq!(
        (colour["kind"].as_str(), &colour["choices"]),
        (Some("question"), &json!(["Red", "Blue"]))
    );
    handoff(&["approve", "asks"]).fails(2, &["cannot be approved"]);
    handoff(&["answer", "asks"]).fails(2, &["asks: ", "`--option 2` (", "a text"]);
    handoff(&["answer", "asks", "--option", "3"]).fails(2, &["offers 2 choices"]);
    handoff(&["answer", "asks", "--option", "2"]).ok();
    let sizes = driven.needs("asks", &colour["id"]);
    driven.kill_daemon();
    assert_eq!(driven.needs("asks", &colour["id"]), sizes);
    handoff(&["answer", "asks", "--option", "1", "--option", "2"]).ok();
    let run = driven.finished("asks");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    handoff(&["approve", "asks"]).fails(5, &["waits for no answer"]);

    let told = driven.told_last();
    assert_eq!(told.matches("leave that alone").count(), 1, "{told}");
    assert!(
        told.contains(r#"\"Which colour?\"=\"Blue\""#)
            && told.contains(r#"\"Which sizes?\"=\"S, M\""#),
        "{told}"
    );
    assert_eq!(driven.model.turns().len(), 4, "nothing was said twice");
    let answers = driven.events("asks");
    assert_eq!(of_type(&answers, "input_answered").len(), 4);
    handoff(&["pull", "asks"]).ok();
    assert!(driven.project.join("allowed").exists() && !driven.project.join("denied").exists());
}

#[test]
fn it_is_told_more_while_it_works_and_goes_on_with_another_turn() {
    let hold = Hold::default();
    let driven = Driven::with(vec![
        Turn::bash("echo first >> log").held(&hold),
        Turn::text("Both are done."),
        Turn::bash("echo later >> log"),
        Turn::text("That too."),
    ]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.claude("talk", &["--dangerously-skip-permissions", "the first thing"]);
    driven.model.wait_for_turn(1);
    handoff(&["say", "talk", "and the second thing"]).ok();
    hold.release();
    let run = driven.finished("talk");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    holds(&driven.told_last(), &["and the second thing"]);

    handoff(&["say", "talk", "something more"]).ok();
    let again = driven.finished("talk");
    assert_eq!(again["outcome"], "succeeded", "{again:#}");
    assert_eq!(again["session_id"], run["session_id"], "it is the same conversation");
    let all = ["the first thing", "and the second thing", "Both are done.", "something more"];
    holds(&driven.told_last(), &all);
    let logs = handoff(&["logs", "talk"]).ok();
    assert!(logs.contains("Both are done.") && logs.contains("That too."), "{logs}");
    handoff(&["pull", "talk"]).ok();
    let log = fs::read_to_string(driven.project.join("log")).expect("read");
    assert_eq!(log, "first\nlater\n");
    handoff(&["say", "first", "hello"]).fails(2, &["no agent"]);
}

#[test]
fn every_way_to_fail_says_which_it_is() {
    let driven = Driven::without_credential(Vec::new());
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    handoff(&["claude", "hello"]).fails(7, &["no credential for anthropic", "credential add"]);
    handoff(&["claude"]).fails(2, &["told nothing to do"]);
    handoff(&["claude", "--ide", "x"]).fails(2, &["`--ide`", "--agent none"]);
    handoff(&["--agent", "clyde", "x"]).fails(2, &["no agent \"clyde\""]);
    driven.keep_credential();
    // The API itself; what is tried again is tried a few times only.
    let limits = ["--env", "CLAUDE_CODE_MAX_RETRIES=1"];
    for (name, status, kind, told) in [
        ("wrong-key", 401, "authentication_error", "refuses the daemon's credential"),
        ("no-model", 404, "not_found_error", "the model is not available"),
        ("limited", 429, "rate_limit_error", "rate limit"),
        ("overloaded", 529, "overloaded_error", "overloaded"),
    ] {
        driven.model.set(vec![Turn::error(status, kind, "as the script says").again()]);
        let words = [&limits[..], &["-n", name, "claude", "hello"]].concat();
        driven.world.hand_off(&driven.project, words);
        let run = driven.finished(name);
        let detail = run["outcome_detail"].as_str().expect("detail");
        assert!(run["outcome"] == "failed" && detail.contains(told), "{name}: {run:#}");
        let retried = of_type(&driven.events(name), "agent_retrying").len();
        assert_eq!(retried > 0, status != 404, "{name}");
    }
    driven.model.set(vec![Turn::bash(
        "until grep -rqs 'kill -9' \"$CLAUDE_CONFIG_DIR/projects\"; do sleep 0.1; done; \
         kill -9 $PPID; kill -9 $CLAUDE_PID",
    )]);
    driven.claude("crash", &["--dangerously-skip-permissions", "crash"]);
    let run = driven.finished("crash");
    let detail = run["outcome_detail"].as_str().expect("detail");
    assert!(detail.contains("the agent ended before its turn did"), "{run:#}");
    // What happened then is not lost: another turn goes on.
    driven.model.set(vec![Turn::text("I am back.")]);
    handoff(&["say", "crash", "are you there?"]).ok();
    let run = driven.finished("crash");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    holds(&driven.told_last(), &["kill -9 $PPID", "are you there?"]);
}

#[test]
fn one_whose_sandbox_is_killed_in_a_tool_call_goes_on_by_its_own_resume() {
    let driven = Driven::with(vec![
        Turn::bash(
            "echo begun >> log; curl -s $ANTHROPIC_BASE_URL/v1/models/begun; perl -e 'sleep 600'",
        ),
        Turn::text("I see where I was."),
    ]);
    let id = driven.claude("cut", &["--dangerously-skip-permissions", "a long task"]);
    driven.model.wait_for_path("/v1/models/begun");
    driven.cut(&id, "echo begun");
    let run = driven.finished("cut");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let last = driven.told_last();
    assert!(last.contains("a long task") && last.contains("interrupted"), "{last}");
    let events = driven.events("cut");
    assert_eq!(of_type(&events, "resumed").len(), 1);
    driven.world.handoff(&driven.project, ["pull", "cut"]).ok();
    assert_eq!(fs::read_to_string(driven.project.join("log")).expect("read"), "begun\n");
}
