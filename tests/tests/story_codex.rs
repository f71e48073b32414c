//! The real Codex goes on in a sandbox, driven by the daemon, with a scripted model.

use std::fs;

use handoff_tests::{
    agent::{Driven, SECRET, holds, of_type},
    model::{Hold, Turn, heard},
};
use serde_json::{Value, json};

/// A model that has its tools as plain functions.
const PLAIN: [&str; 2] = ["-m", "gpt-5.5"];

fn with_model(words: &[&'static str]) -> Vec<&'static str> {
    [&PLAIN[..], words].concat()
}

#[test]
fn it_edits_runs_and_plans_and_all_of_it_comes_back() {
    let plan = |state: &str| {
        Turn::tool("update_plan", json!({ "plan": [{ "step": "Write it", "status": state }] }))
    };
    let patch = "*** Begin Patch\n*** Add File: made\n+by a patch\n*** End Patch\n";
    let driven = Driven::with_codex(vec![
        plan("in_progress"),
        Turn::exec("cat notes; perl -e 'sleep 1'; echo two >> notes"),
        Turn::tool("apply_patch", patch.into()),
        Turn::exec("echo key $OPENAI_API_KEY; env > made-by-run; exit 3"),
        plan("completed"),
        Turn::text("It is *done*."),
    ]);
    // What a repository's own settings would start, if anybody trusted them.
    let settings = "[mcp_servers.x]\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"touch started\"]\n";
    driven.world.write(&driven.world.directory("app/.codex").join("config.toml"), settings);
    driven.codex("work", &with_model(&["append", "two"]));
    let run = driven.finished("work");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!((run["agent"].as_str(), run["exit_code"].as_i64()), (Some("codex"), Some(0)));
    assert!(heard(&driven.model.turns()[0].body).contains("append two"));

    let events = driven.events("work");
    let ready = of_type(&events, "agent_ready")[0];
    assert_eq!(ready["session_id"], run["session_id"]);
    assert_eq!(
        (ready["version"].as_str(), ready["model"].as_str(), ready["permissions"].as_str()),
        (Some("0.169.0"), Some("gpt-5.5"), Some("on-request"))
    );
    let tools: Vec<&str> =
        of_type(&events, "tool_started").iter().filter_map(|tool| tool["kind"].as_str()).collect();
    assert_eq!(tools, ["run", "edit", "run"]);
    let ended = of_type(&events, "tool_ended");
    assert_eq!(
        ended.iter().map(|end| end["failed"] == true).collect::<Vec<_>>(),
        [false, false, true]
    );
    assert!(ended[0]["milliseconds"].as_u64().is_some_and(|ms| ms >= 500), "{:#}", ended[0]);
    let plan = of_type(&events, "agent_plan");
    assert_eq!(
        plan.last().expect("a plan")["items"],
        json!([{ "text": "Write it", "state": "completed" }])
    );
    assert_eq!(of_type(&events, "agent_text")[0]["text"], "It is *done*.");
    assert_eq!(of_type(&events, "agent_usage")[0]["input_tokens"], 600);
    // It tries a WebSocket first, and goes on without one at once.
    assert_eq!(of_type(&events, "agent_retrying").len() + of_type(&events, "denied").len(), 0);
    let used = of_type(&events, "used").pop().expect("what was used").clone();
    assert_eq!(
        (used["provider"].as_str(), &used["requests"], &used["output_tokens"]),
        (Some("openai"), &json!(6), &json!(60)),
        "{used:#}"
    );
    let watched = driven.world.handoff(&driven.project, ["watch", "work"]).ok();
    for line in ["uses exec_command: cat notes", "exit code 3", "plan: 1 of 1 done"] {
        assert!(watched.contains(line), "no {line:?} in {watched}");
    }

    driven.world.handoff(&driven.project, ["pull", "work"]).ok();
    let read = |name: &str| fs::read_to_string(driven.project.join(name)).expect("read");
    assert_eq!((read("notes").as_str(), read("made").as_str()), ("one\ntwo\n", "by a patch\n"));
    assert!(read("made-by-run").contains("OPENAI_API_KEY=handoff-placeholder"));
    assert!(!driven.project.join("started").exists(), "the repository's settings were trusted");

    // The key reached the model, and is nowhere else but in the one file; nobody but the fence heard
    // of a WebSocket.
    for asked in driven.model.asked() {
        assert_eq!(asked.headers["authorization"], format!("Bearer {SECRET}"));
        assert!(!asked.headers.contains_key("upgrade"), "{asked:#?}");
    }
    let kept = driven.holding(SECRET);
    assert!(kept.len() == 1 && kept[0].ends_with("credentials/openai"), "{kept:?}");
}

#[test]
fn a_model_that_writes_programs_for_its_tools_is_told_alike() {
    let program = "const r = await tools.exec_command({cmd: 'echo two >> notes'}); text(r);";
    let driven = Driven::with_codex(vec![
        Turn::tool("functions.exec", program.into()),
        Turn::text("Done by a program."),
    ]);
    driven.codex("program", &["go"]);
    let run = driven.finished("program");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let events = driven.events("program");
    let tool = of_type(&events, "tool_started")[0];
    assert_eq!(
        (tool["kind"].as_str(), tool["target"].as_str()),
        (Some("run"), Some("echo two >> notes"))
    );
    driven.world.handoff(&driven.project, ["pull", "program"]).ok();
    assert_eq!(fs::read_to_string(driven.project.join("notes")).expect("read"), "one\ntwo\n");
}

#[test]
fn what_it_asks_is_answered_once_whatever_is_restarted_meanwhile() {
    let ask = json!({ "questions": [
        { "id": "colour", "header": "Colour", "question": "Which colour?", "options": [
            { "label": "Red", "description": "r" }, { "label": "Blue", "description": "b" } ] },
        { "id": "size", "header": "Size", "question": "Which size?", "options": [
            { "label": "S", "description": "s" }, { "label": "M", "description": "m" } ] },
    ] });
    let driven = Driven::with_codex(vec![
        Turn::exec("touch allowed"),
        Turn::exec("touch denied"),
        Turn::tool("request_user_input", ask),
        Turn::text("Thank you."),
    ]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.codex("asks", &with_model(&["-a", "untrusted", "ask me"]));
    let first = driven.needs("asks", &Value::Null);
    assert_eq!(
        (first["kind"].as_str(), first["text"].as_str()),
        (Some("permission"), Some("exec_command: touch allowed"))
    );
    handoff(&["watch", "asks"]).fails(4, &[]);
    handoff(&["answer", "asks", "yes"]).fails(2, &["asks for permission"]);

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
    handoff(&["answer", "asks", "--option", "2"]).ok();
    let size = driven.needs("asks", &colour["id"]);
    driven.kill_daemon();
    assert_eq!(driven.needs("asks", &colour["id"]), size);
    handoff(&["answer", "asks", "neither"]).ok();
    let run = driven.finished("asks");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    handoff(&["approve", "asks"]).fails(5, &["waits for no answer"]);

    let told = driven.told_last();
    assert_eq!(told.matches("leave that alone").count(), 1, "{told}");
    holds(&told, &[r#"\"colour\":{\"answers\":[\"Blue\"]}"#, "neither"]);
    assert_eq!(driven.model.turns().len(), 4, "nothing was said twice");
    let answers = driven.events("asks");
    assert_eq!(of_type(&answers, "input_answered").len(), 4);
    let stream = handoff(&["logs", "asks"]).ok();
    assert_eq!(
        stream.matches(r#""thread":{"id""#).count(),
        2,
        "it opened its thread once: {stream}"
    );
    handoff(&["pull", "asks"]).ok();
    assert!(driven.project.join("allowed").exists() && !driven.project.join("denied").exists());
}

#[test]
fn it_is_told_more_while_it_works_and_goes_on_with_another_turn() {
    let hold = Hold::default();
    let driven = Driven::with_codex(vec![
        Turn::exec("echo first >> log"),
        // What is said while the model speaks interrupts it.
        Turn::text("I look at it.").held(&hold),
        Turn::text("Both are done."),
        Turn::exec("echo later >> log"),
        Turn::text("That too."),
    ]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.codex("talk", &with_model(&["the first thing"]));
    driven.model.wait_for_turn(2);
    handoff(&["say", "talk", "and the second thing"]).ok();
    // What was said is on its way to the agent when the daemon hears the line before it again.
    driven.kill_daemon();
    drop(driven.show("talk"));
    hold.release();
    let run = driven.finished("talk");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let told = driven.told_last();
    assert_eq!(told.matches("and the second thing").count(), 1, "{told}");

    handoff(&["say", "talk", "something more"]).ok();
    let again = driven.finished("talk");
    assert_eq!(again["outcome"], "succeeded", "{again:#}");
    assert_eq!(again["session_id"], run["session_id"], "it is the same conversation");
    let last = driven.told_last();
    for text in ["the first thing", "and the second thing", "Both are done.", "something more"] {
        assert_eq!(last.matches(text).count(), 1, "{text:?} in {last}");
    }
    handoff(&["pull", "talk"]).ok();
    let log = fs::read_to_string(driven.project.join("log")).expect("read");
    assert_eq!(log, "first\nlater\n");
}

#[test]
fn every_way_to_fail_says_which_it_is() {
    let driven = Driven::without_credential(Vec::new());
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    handoff(&["codex", "hello"]).fails(7, &["no credential for openai", "credential add"]);
    handoff(&["codex", "exec"]).fails(2, &["told nothing to do"]);
    handoff(&["codex", "--search", "x"]).fails(2, &["`--search`", "--agent none"]);
    handoff(&["codex", "-a", "maybe", "x"]).fails(2, &["maybe", "on-request"]);
    driven.keep_credential_for("openai");
    // The API itself; what is tried again is tried a few times only.
    for (name, status, kind, told) in [
        ("wrong-key", 401, "invalid_api_key", "refuses the daemon's credential"),
        ("no-model", 404, "model_not_found", "the model is not available"),
        ("limited", 429, "rate_limit_exceeded", "rate limit"),
    ] {
        driven.model.set(vec![Turn::error(status, kind, "as the script says").again()]);
        driven.codex(name, &with_model(&["hello"]));
        let run = driven.finished(name);
        let detail = run["outcome_detail"].as_str().expect("detail");
        assert!(run["outcome"] == "failed" && detail.contains(told), "{name}: {run:#}");
        let events = driven.events(name);
        let retried = of_type(&events, "agent_retrying");
        assert_eq!(!retried.is_empty(), status == 401, "{name}: {retried:#?}");
    }
    driven.model.set(vec![Turn::exec(
        "until grep -rqs 'kill -9' \"$CODEX_HOME/sessions\"; do sleep 0.1; done; kill -9 $PPID; kill -9 $$",
    )]);
    driven.codex("crash", &with_model(&["crash"]));
    let run = driven.finished("crash");
    let detail = run["outcome_detail"].as_str().expect("detail");
    assert!(detail.contains("the agent ended before its turn did"), "{run:#}");
    // What happened then is not lost: another turn goes on.
    driven.model.set(vec![Turn::text("I am back.")]);
    handoff(&["say", "crash", "are you there?"]).ok();
    let run = driven.finished("crash");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    holds(&driven.told_last(), &["kill -9 $PPID", "are you there?"]);

    let file = driven.world.local_daemon().join("handoffd.toml");
    let config = fs::read_to_string(&file).expect("read");
    driven.world.write(&file, config + "[agents.codex]\ncommand = \"codex-elsewhere\"\n");
    driven.kill_daemon();
    let missing = handoff(&["codex", "hello"]);
    missing.fails(7, &["`codex-elsewhere` is not installed on the remote", "[tools] paths"]);
}

#[test]
fn one_whose_sandbox_is_killed_in_a_tool_call_goes_on_by_its_own_resume() {
    let driven = Driven::with_codex(vec![
        Turn::exec("echo begun >> log; curl -s $OPENAI_BASE_URL/models/begun; perl -e 'sleep 600'"),
        Turn::text("I see where I was."),
    ]);
    let id = driven.codex("cut", &with_model(&["a long task"]));
    driven.model.wait_for_path("/v1/models/begun");
    driven.cut(&id, "echo begun");
    let run = driven.finished("cut");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let last = driven.told_last();
    assert!(last.contains("a long task") && last.contains("You were interrupted"), "{last}");
    let events = driven.events("cut");
    assert_eq!(of_type(&events, "resumed").len(), 1);
    let sessions = of_type(&events, "agent_ready");
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["session_id"], sessions[1]["session_id"]);
    driven.world.handoff(&driven.project, ["pull", "cut"]).ok();
    assert_eq!(fs::read_to_string(driven.project.join("log")).expect("read"), "begun\n");
}
