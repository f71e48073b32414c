//! A thread of the real Codex goes on in a sandbox, and comes back.

use std::{fs, path::PathBuf};

use handoff_tests::{
    agent::{Driven, GIT_STATE, LOCAL_KEY, SECRET, holds},
    interface,
    model::{Turn, heard},
    sessions::{self, settings},
};
use serde_json::{Value, json};

#[test]
fn a_thread_of_the_laptop_goes_on_there_and_here_again() {
    let plan = |one: &str, two: &str| {
        let step = |step: &str, status: &str| json!({ "step": step, "status": status });
        Turn::tool("update_plan", json!({ "plan": [step("Write it", one), step("Test it", two)] }))
    };
    let patch = |patch: &str| {
        Turn::tool("apply_patch", format!("*** Begin Patch\n{patch}*** End Patch\n").into())
    };
    let driven =
        Driven::with_codex(vec![plan("in_progress", "pending"), Turn::text("LOCAL-ANSWER-1")]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);

    // Three turns here, the last of which leaves something staged, changed and new.
    driven.local_codex("workspace-write", &["LOCAL-PROMPT-1"]);
    let (id, rollout) = sessions::rollout(&driven.world);
    driven.model.set(vec![patch("*** Add File: made\n+here\n"), Turn::text("LOCAL-ANSWER-2")]);
    driven.local_codex("workspace-write", &["resume", &id, "LOCAL-PROMPT-2"]);
    driven.world.git(&driven.project, &["add", "made"]);
    driven.model.set(vec![
        patch("*** Update File: notes\n@@\n one\n+local\n"),
        plan("completed", "in_progress"),
        Turn::exec("cp notes new"),
        Turn::text("LOCAL-ANSWER-3"),
    ]);
    driven.local_codex("workspace-write", &["resume", &id, "LOCAL-PROMPT-3"]);
    let before = fs::read(&rollout).expect("read");
    let permissions = settings(&rollout)["permission_profile"].clone();
    assert_ne!(permissions, Value::Null);
    let state = driven.git_state();
    holds(&state, &["A  made", "\\n M notes", "?? new"]);

    let commit = "git -c user.name=R -c user.email=r@example.com commit -qam there; rm made; \
                  echo staged > staged; git add staged; echo more >> new";
    driven.model.set(vec![
        Turn::exec(GIT_STATE),
        patch("*** Update File: notes\n@@\n one\n local\n+remote\n"),
        plan("completed", "completed"),
        Turn::exec(commit),
        Turn::exec(GIT_STATE),
        Turn::text("REMOTE-ANSWER"),
    ]);
    let words = ["-n", "on", "codex", "-a", "never", "REMOTE-PROMPT"];
    let said = handoff(&words);
    assert!(said.stderr.contains(&id), "{said}");
    drop(said.ok());
    handoff(&["codex", "another"]).fails(5, &["run on on local goes on with session", "--fork"]);
    let run = driven.finished("on");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(run["session_id"], id.as_str());
    let turns = driven.model.turns();
    let key = format!("Bearer {SECRET}");
    let remote: Vec<_> =
        turns.iter().filter(|asked| asked.headers["authorization"] == key).collect();
    let first = heard(&remote[0].body);
    holds(&first, &["LOCAL-PROMPT-1", "LOCAL-PROMPT-2", "LOCAL-ANSWER-3", "REMOTE-PROMPT"]);
    holds(&first, &["Write it", "Test it"]);
    holds(&heard(&remote[1].body), &[&state]);

    let pulled = handoff(&["pull", "on"]);
    assert!(pulled.stderr.contains(&format!("codex resume {id}")), "{pulled}");
    drop(pulled.ok());
    assert_eq!(sessions::rollout(&driven.world).1, rollout);
    assert!(fs::read(&rollout).expect("read").starts_with(&before));
    assert_eq!(settings(&rollout)["permission_profile"], permissions, "it may no more than before");
    let state = driven.git_state();
    holds(&state, &[" D made", "A  staged", "?? new"]);
    holds(&driven.told_last(), &[&state]);
    let read = |name: &str| fs::read_to_string(driven.project.join(name)).expect("read");
    assert_eq!(
        (read("notes").as_str(), read("new").as_str()),
        ("one\nlocal\nremote\n", "one\nlocal\nmore\n")
    );

    // Its interface shows every turn, and the next one carries them.
    let all = [
        "LOCAL-PROMPT-1",
        "LOCAL-ANSWER-1",
        "LOCAL-PROMPT-2",
        "LOCAL-ANSWER-2",
        "LOCAL-PROMPT-3",
        "LOCAL-ANSWER-3",
        "REMOTE-PROMPT",
        "REMOTE-ANSWER",
    ];
    let screen = interface::codex(&driven, "again", &["resume", &id]);
    let asked = interface::carries_all(&driven, screen, &all);
    assert_eq!(asked.headers["authorization"], format!("Bearer {LOCAL_KEY}"));
    let again = handoff(&["--json", "pull", "on"]).json();
    assert_eq!(again["conversation"]["mode"], "up_to_date", "{again:#}");
}

#[test]
fn a_thread_that_goes_on_in_both_places_is_two_and_one_that_began_there_is_opened_with_care() {
    let driven = Driven::with_codex(vec![Turn::exec("echo remote >> notes"), Turn::text("NEW")]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.codex("new", &["-m", "gpt-5.5", "-a", "never", "NEW-PROMPT"]);
    drop(driven.finished("new"));
    let pulled = handoff(&["--json", "pull", "new"]).json();
    assert_eq!(pulled["conversation"]["mode"], "new", "{pulled:#}");
    let (id, rollout) = &sessions::rollout(&driven.world);
    assert_eq!(pulled["conversation"]["session_id"], id.as_str());
    let born = settings(rollout);
    assert_eq!(born["approval_policy"], "on-request");
    assert_eq!(born["permission_profile"]["type"], "managed");

    driven.model.set(vec![Turn::text("REMOTE-ANSWER")]);
    driven.codex("on", &["REMOTE-PROMPT"]);
    drop(driven.finished("on"));
    driven.model.set(vec![Turn::text("LOCAL-ANSWER")]);
    driven.local_codex_turn(&["resume", id, "LOCAL-PROMPT"]);
    let pulled = handoff(&["--json", "pull", "on"]).json();
    assert_eq!(pulled["conversation"]["mode"], "forked", "{pulled:#}");
    let fork = pulled["conversation"]["session_id"].as_str().expect("an id");
    for (thread, theirs, not_theirs) in
        [(id.as_str(), "LOCAL-PROMPT", "REMOTE-PROMPT"), (fork, "REMOTE-PROMPT", "LOCAL-PROMPT")]
    {
        let screen = interface::codex(&driven, thread, &["resume", thread]);
        screen.shows(&["NEW-PROMPT", theirs]);
        assert!(!screen.text().contains(not_theirs), "{}", screen.text());
        screen.close();
        driven.model.set(vec![Turn::text("and so on")]);
        driven.local_codex_turn(&["resume", thread, "WHAT NOW"]);
        let last = driven.told_last();
        assert!(last.contains("NEW-PROMPT") && last.contains(theirs), "{last}");
        assert!(!last.contains(not_theirs), "{last}");
    }
}

/// A model whose agents spawn others.
const SPAWNING: &str = "gpt-6.1-sol";

/// What only the request of a sub-agent holds.
const OF_SUB_AGENT: &str = "Message Type: NEW_TASK";

/// The model has a sub-agent begin, or go on, and waits for it, and says something.
fn with_sub_agent(tool: &str, input: Value, answer: &str, own: &str) -> Vec<Turn> {
    vec![
        Turn::text(answer).when(OF_SUB_AGENT),
        Turn::tool(&format!("collaboration.{tool}"), input),
        Turn::tool("collaboration.wait_agent", json!({ "timeout_ms": 20_000 })),
        Turn::text(own),
    ]
}

fn spawn(name: &str, message: &str) -> Value {
    json!({ "task_name": name, "message": message, "fork_turns": "none" })
}

/// The thread of a sub-agent of that name, by the id of its parent.
fn sub_agent(driven: &Driven, name: &str, parent: &str) -> PathBuf {
    let is_it = |rollout: &PathBuf| {
        let text = fs::read_to_string(rollout).expect("read");
        let first: Value =
            serde_json::from_str(text.lines().next().expect("a line")).expect("json");
        let payload = &first["payload"];
        payload["agent_path"] == format!("/root/{name}") && payload["parent_thread_id"] == parent
    };
    let found = sessions::rollouts(&driven.world).into_iter().find(is_it);
    found.unwrap_or_else(|| {
        panic!("no sub-agent {name} of {parent}: {:?}", sessions::rollouts(&driven.world))
    })
}

/// Has a sub-agent go on here, and returns what its model was asked.
fn go_on_here(driven: &Driven, thread: &str, name: &str) -> String {
    let target = json!({ "target": format!("/root/{name}"), "message": "HERE-AGAIN" });
    driven.model.set(with_sub_agent("followup_task", target, "AND-AGAIN", "DONE"));
    driven.local_codex_turn(&["-m", SPAWNING, "resume", thread, "LOCAL-PROMPT"]);
    let asked = driven.model.turns().into_iter().map(|turn| turn.body.to_string());
    let last = asked.filter(|body| body.contains(OF_SUB_AGENT) && body.contains("HERE-AGAIN"));
    last.last().expect("the sub-agent was asked")
}

/// A user whose Codex is on their PATH, and has a thread with a sub-agent.
fn with_codex_here() -> Driven {
    let script = with_sub_agent("spawn_agent", spawn("one", "LOCAL-TASK"), "ONE-SAID", "DONE");
    let mut driven = Driven::with_codex(script);
    let path = driven.local_environment().into_iter().find(|(name, _)| *name == "PATH");
    driven.world.set("PATH", path.expect("a PATH").1);
    driven
}

#[test]
fn sub_agents_travel_and_come_back_with_their_thread() {
    let driven = with_codex_here();
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.local_codex_turn(&["-m", SPAWNING, "LOCAL-PROMPT-1"]);
    assert_eq!(sessions::rollouts(&driven.world).len(), 2);
    let root = sessions::rollouts(&driven.world).remove(0);
    let id = sessions::thread(&root);
    let one = sub_agent(&driven, "one", &id);
    let before = fs::read(&one).expect("read");
    let permissions = settings(&one)["permission_profile"].clone();

    let target = json!({ "target": "/root/one", "message": "GO-ON-THERE" });
    let there = with_sub_agent("followup_task", target, "ONE-THERE", "SO-FAR");
    let new = with_sub_agent("spawn_agent", spawn("two", "REMOTE-TASK"), "TWO-SAID", "REMOTE-DONE");
    driven.model.set([&there[..3], &new[..]].concat());
    driven.codex("on", &["-a", "never", "REMOTE-PROMPT"]);
    let run = driven.finished("on");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(run["session_id"], id.as_str());
    let pulled = handoff(&["--json", "pull", "on"]).json();
    let conversation = &pulled["conversation"];
    assert_eq!(conversation["mode"], "forwarded", "{pulled:#}");
    assert_eq!(conversation["left_out"], json!([]), "{pulled:#}");
    let two = sub_agent(&driven, "two", &id);
    assert_eq!(sessions::rollouts(&driven.world).len(), 3);
    let after = fs::read_to_string(&one).expect("read");
    assert!(after.as_bytes().starts_with(&before) && after.contains("ONE-THERE"), "{after}");
    assert_eq!(settings(&one)["permission_profile"], permissions, "it may no more than before");
    let born = settings(&two);
    assert_eq!(born["approval_policy"], "on-request");
    assert_eq!(born["permission_profile"]["type"], "managed");
    assert_eq!(handoff(&["--json", "pull", "on"]).json()["conversation"]["mode"], "up_to_date");

    let asked = go_on_here(&driven, &id, "two");
    assert!(asked.contains("REMOTE-TASK") && asked.contains("TWO-SAID"), "{asked}");
    let asked = go_on_here(&driven, &id, "one");
    for text in ["LOCAL-TASK", "ONE-SAID", "GO-ON-THERE", "ONE-THERE"] {
        assert!(asked.contains(text), "no {text} in {asked}");
    }
}

#[test]
fn a_fork_has_sub_agents_of_its_own() {
    let driven = with_codex_here();
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.local_codex_turn(&["-m", SPAWNING, "LOCAL-PROMPT-1"]);
    let id = sessions::thread(&sessions::rollouts(&driven.world)[0]);
    // A copy from the beginning, and one that went on in both places.
    for (name, words) in [("copy", &["--session", &id, "--fork"][..]), ("both", &[])] {
        let target = json!({ "target": "/root/one", "message": "GO-ON-THERE" });
        driven.model.set(with_sub_agent("followup_task", target, "ONE-THERE", "REMOTE-DONE"));
        let words = [&["-n", name][..], words, &["codex", "REMOTE-PROMPT"]].concat();
        driven.world.hand_off(&driven.project, words);
        let run = driven.finished(name);
        assert_eq!(run["outcome"], "succeeded", "{run:#}");
        let asked = go_on_here(&driven, &id, "one");
        assert!(!asked.contains("GO-ON-THERE"), "{asked}");
        let pulled = handoff(&["--json", "pull", name]).json();
        let fork = pulled["conversation"]["session_id"].as_str().expect("an id");
        assert_ne!(fork, id, "{pulled:#}");
        assert_ne!(
            sessions::thread(&sub_agent(&driven, "one", fork)),
            sessions::thread(&sub_agent(&driven, "one", &id))
        );
        let asked = go_on_here(&driven, fork, "one");
        for text in ["LOCAL-TASK", "GO-ON-THERE", "ONE-THERE"] {
            assert!(asked.contains(text), "no {text} in {asked}");
        }
    }
}
