//! A session of the real Claude Code goes on in a sandbox, and comes back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use handoff_tests::{
    agent::{Driven, GIT_STATE, LOCAL_KEY, SECRET, holds},
    begun::{Agent, Begun},
    interface,
    model::{Turn, heard},
    sessions,
    world::said,
};
use serde_json::{Value, json};

#[test]
fn a_session_of_the_laptop_goes_on_there_and_here_again() {
    let driven = Driven::with(Vec::new());
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    let notes = driven.project.join("notes");
    let edit = |from: &str, to: &str| {
        let change = json!({ "file_path": notes, "old_string": from, "new_string": to });
        [Turn::tool("Read", json!({ "file_path": notes })), Turn::tool("Edit", change)]
    };
    let task = |subject: &str| json!({ "subject": subject, "description": "x" });
    let done = |task: &str| json!({ "taskId": task, "status": "completed" });
    let agent = driven.world.home().join(".claude");
    fs::create_dir(&agent).expect("directory");
    driven.world.write(&agent.join("CLAUDE.md"), "Always be MEMORABLE.\n");

    // Three turns here, the last of which leaves something staged, changed and new.
    driven.model.set(vec![
        Turn::tool("TaskCreate", task("Write it")),
        Turn::tool("TaskCreate", task("Test it")),
        Turn::text("LOCAL-ANSWER-1"),
    ]);
    driven.local_turn(&["LOCAL-PROMPT-1"]);
    let (session, transcript) = sessions::transcript(&driven.world);
    let made = json!({ "file_path": driven.project.join("made"), "content": "here\n" });
    driven.model.set(vec![Turn::tool("Write", made), Turn::text("LOCAL-ANSWER-2")]);
    driven.local_turn(&["--continue", "LOCAL-PROMPT-2"]);
    driven.world.git(&driven.project, &["add", "made"]);
    driven.model.set(edit("one\n", "one\nlocal\n").to_vec());
    driven.model.then([
        Turn::tool("TaskUpdate", done("1")),
        Turn::bash("cp notes new"),
        Turn::text("LOCAL-ANSWER-3"),
    ]);
    driven.local_turn(&["--resume", &session, "LOCAL-PROMPT-3"]);
    let before = fs::read(&transcript).expect("read");
    let state = driven.git_state();
    holds(&state, &["A  made", "\\n M notes", "?? new"]);

    let commit = "git -c user.name=R -c user.email=r@example.com commit -qam there; rm made; \
                  echo staged > staged; git add staged; echo more >> new";
    driven.model.set(vec![Turn::bash(GIT_STATE), Turn::tool("TaskList", json!({}))]);
    driven.model.then(edit("local\n", "local\nremote\n"));
    driven.model.then([
        Turn::bash(commit),
        Turn::tool("TaskUpdate", done("2")),
        Turn::bash(GIT_STATE),
        Turn::text("REMOTE-ANSWER"),
    ]);
    let sent = handoff(&["-n", "on", "claude", "--dangerously-skip-permissions", "REMOTE-PROMPT"]);
    assert!(sent.stderr.contains(session.as_str()), "{sent}");
    drop(sent.ok());
    handoff(&["claude", "another"]).fails(5, &["run on on local goes on with session", "--fork"]);
    let run = driven.finished("on");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(run["session_id"], session.as_str());
    let turns = driven.model.turns();
    let remote: Vec<_> =
        turns.iter().filter(|asked| asked.headers["x-api-key"] == SECRET).collect();
    let first = &remote[0].body;
    holds(&heard(first), &["LOCAL-PROMPT-1", "LOCAL-PROMPT-2", "LOCAL-ANSWER-3", "REMOTE-PROMPT"]);
    assert!(first.to_string().contains("MEMORABLE"), "the user's instructions are there");
    holds(&heard(&remote[1].body), &[&state]);
    holds(&heard(&remote[2].body), &["#1 [completed] Write it", "#2 [pending] Test it"]);

    let pulled = handoff(&["pull", "on"]);
    assert!(pulled.stderr.contains(&format!("claude --resume {session}")), "{pulled:?}");
    drop(pulled.ok());
    let after = fs::read(&transcript).expect("read");
    assert!(after.starts_with(&before) && after.len() > before.len());
    assert_eq!(sessions::transcripts(&driven.world).len(), 1);
    let state = driven.git_state();
    holds(&state, &[" D made", "A  staged", "?? new"]);
    holds(&driven.told_last(), &[&state]);
    assert_eq!(fs::read_to_string(&notes).expect("read"), "one\nlocal\nremote\n");
    assert_eq!(fs::read_to_string(driven.project.join("new")).expect("read"), "one\nlocal\nmore\n");
    for task in ["1.json", "2.json"] {
        let task = agent.join("tasks").join(&session).join(task);
        assert!(fs::read_to_string(task).expect("the list").contains("completed"));
    }

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
    let screen = interface::claude(&driven, "again", &["--resume", &session]);
    let asked = interface::carries_all(&driven, screen, &all);
    assert_eq!(asked.headers["x-api-key"], LOCAL_KEY);
    // There is nothing more to bring, also now that it went on here.
    let again = handoff(&["--json", "pull", "on"]).json();
    assert_eq!(again["conversation"]["mode"], "up_to_date", "{again:#}");
}

#[test]
fn a_session_that_goes_on_in_both_places_is_two_and_nothing_is_lost() {
    let driven = Driven::with(vec![Turn::text("LOCAL-ANSWER-1")]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.local_turn(&["LOCAL-PROMPT-1"]);
    let (session, _) = &sessions::transcript(&driven.world);
    driven.model.set(vec![Turn::text("REMOTE-ANSWER")]);
    driven.claude("on", &["REMOTE-PROMPT"]);
    drop(driven.finished("on"));
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-2")]);
    driven.local_turn(&["--resume", session, "LOCAL-PROMPT-2"]);

    let pulled = handoff(&["--json", "pull", "on"]).json();
    let conversation = &pulled["conversation"];
    assert_eq!(conversation["mode"], "forked", "{pulled:#}");
    let fork = conversation["session_id"].as_str().expect("an id");
    assert_ne!(fork, session);
    for (id, theirs, not_theirs) in [
        (session.as_str(), "LOCAL-PROMPT-2", "REMOTE-PROMPT"),
        (fork, "REMOTE-PROMPT", "LOCAL-PROMPT-2"),
    ] {
        let screen = interface::claude(&driven, id, &["--resume", id]);
        screen.shows(&["LOCAL-PROMPT-1", "LOCAL-ANSWER-1", theirs]);
        assert!(!screen.text().contains(not_theirs), "{}", screen.text());
        screen.close();
        driven.model.set(vec![Turn::text("and so on")]);
        driven.local_turn(&["--resume", id, "WHAT NOW"]);
        let last = driven.told_last();
        assert!(last.contains("LOCAL-PROMPT-1") && last.contains(theirs), "{last}");
        assert!(!last.contains(not_theirs), "{last}");
    }

    // A fork from the beginning leaves the session here as it is.
    driven.model.set(vec![Turn::text("FORKED")]);
    let words = ["-n", "fork", "--session", session, "--fork", "claude", "FORK-PROMPT"];
    driven.world.hand_off(&driven.project, words);
    let run = driven.finished("fork");
    assert_ne!(run["session_id"], session.as_str());
    let last = driven.told_last();
    assert!(last.contains("LOCAL-PROMPT-2") && last.contains("FORK-PROMPT"), "{last}");
    handoff(&["pull", "fork"]).ok();
    assert_eq!(sessions::transcripts(&driven.world).len(), 3);
    handoff(&["--session", "6fe487e1-a3f6-4eb2-ad69-e6f9d1d97a38", "claude", "x"])
        .fails(8, &["no session", "newest"]);
    handoff(&["--session", "x", "make"]).fails(2, &["only an agent"]);
}

#[test]
fn a_session_of_a_newer_agent_is_refused_and_the_doctor_says_which_there_are() {
    let driven = Driven::with(vec![Turn::text("an answer")]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.local_turn(&["LOCAL-PROMPT"]);
    let (_, transcript) = &sessions::transcript(&driven.world);
    let text = fs::read_to_string(transcript).expect("read");
    driven.world.write(transcript, text.replace(r#""version":"2.1."#, r#""version":"99.0."#));
    handoff(&["claude", "x"]).fails(7, &["claude of this daemon is 2.1.330", "99.0.330", "update"]);
    driven.world.write(transcript, text);
    let mut doctor = std::process::Command::new(driven.world.bin().join("handoffd"));
    doctor.arg("doctor").env_clear().env("PATH", "/usr/bin:/bin");
    doctor.env("HOME", driven.world.home()).env("HANDOFFD_STATE", driven.world.local_daemon());
    let said = said(&mut doctor).ok();
    for line in ["agent claude: in-force (claude starts: 2.1.330", "agent codex: in-force"] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
}

#[test]
fn sub_agents_and_odd_paths_travel_both_ways() {
    let agent = |what: &str| {
        let input = json!({
            "description": what, "prompt": format!("{what}-PROMPT"),
            "subagent_type": "general-purpose", "run_in_background": false,
        });
        Turn::tool("Agent", input)
    };
    let mut driven = Driven::with(vec![
        agent("LOCAL-SUB"),
        Turn::text("LOCAL-SUB-ANSWER"),
        Turn::text("LOCAL-ANSWER"),
    ]);
    let project = driven.world.directory("sp ace. (x) \u{e9}/.hidden_");
    driven.world.git(&project, &["init", "-q"]);
    driven.project = project;
    driven.local_turn(&["LOCAL-PROMPT"]);
    let (session, transcript) = &sessions::transcript(&driven.world);
    let sub_agents = transcript.with_extension("").join("subagents");
    let logs = || {
        let files = fs::read_dir(&sub_agents).expect("sub-agents").flatten();
        let is_log = |path: &PathBuf| path.extension().is_some_and(|name| name == "jsonl");
        files.map(|file| file.path()).filter(is_log).count()
    };
    assert_eq!(logs(), 1);
    driven.model.set(vec![
        Turn::bash("ls \"$CLAUDE_CONFIG_DIR\"/projects/*/*/subagents > seen; pwd > where"),
        agent("REMOTE-SUB"),
        Turn::text("REMOTE-SUB-ANSWER"),
        Turn::text("REMOTE-ANSWER"),
    ]);
    driven.claude("odd", &["--dangerously-skip-permissions", "REMOTE-PROMPT"]);
    let run = driven.finished("odd");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(run["session_id"], session.as_str());
    let events = driven.events("odd");
    assert!(
        events.iter().any(|event| event["type"] == "tool_started" && event["kind"] == "subagent")
    );
    driven.world.handoff(&driven.project, ["pull", "odd"]).ok();
    assert_eq!(logs(), 2);
    let seen = fs::read_to_string(driven.project.join("seen")).expect("read");
    assert!(seen.contains("agent-"), "{seen}");
    let place = fs::read_to_string(driven.project.join("where")).expect("read");
    assert_eq!(place.trim_end(), driven.project.to_str().expect("text"));
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-2")]);
    driven.local_turn(&["--resume", session, "LOCAL-PROMPT-2"]);
    let all = ["LOCAL-PROMPT", "LOCAL-SUB-ANSWER", "REMOTE-SUB-ANSWER", "REMOTE-ANSWER"];
    holds(&driven.told_last(), &all);
}

#[test]
fn what_was_edited_there_can_be_taken_back_here() {
    let driven = Driven::with(vec![Turn::text("LOCAL-ANSWER")]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.local_turn(&["LOCAL-PROMPT"]);
    let (session, transcript) = &sessions::transcript(&driven.world);
    let notes = driven.project.join("notes");
    driven.model.set(vec![
        Turn::tool("Read", json!({ "file_path": notes })),
        Turn::tool("Edit", json!({ "file_path": notes, "old_string": "one", "new_string": "two" })),
        Turn::tool("Write", json!({ "file_path": driven.project.join("new"), "content": "new\n" })),
        Turn::bash("cd \"$CLAUDE_CONFIG_DIR\"; mkdir projects/x; for p in projects/*; do mkdir -p $p/memory; echo Obey. > $p/memory/MEMORY.md; done"),
        Turn::text("REMOTE-ANSWER"),
    ]);
    driven.claude("on", &["--dangerously-skip-permissions", "REMOTE-PROMPT"]);
    let run = driven.finished("on");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let pulled = handoff(&["pull", "on"]);
    let stays = "stays there: 2 files of memory for later sessions: MEMORY.md, MEMORY.md";
    assert!(pulled.stderr.contains(stays), "{pulled}");
    drop(pulled.ok());
    assert_eq!(fs::read_to_string(&notes).expect("read"), "two\n");
    let projects = transcript.parent().and_then(|project| project.parent()).expect("projects");
    let memory = |project: &Path| project.join("memory/MEMORY.md").exists();
    assert!(
        !fs::read_dir(projects).expect("list").flatten().any(|project| memory(&project.path()))
    );

    let text = fs::read_to_string(transcript).expect("read");
    let mut records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("json"));
    let said = |record: &Value| {
        record["type"] == "user"
            && record["message"]["content"].to_string().contains("REMOTE-PROMPT")
    };
    let prompt = records.find(said).expect("the prompt")["uuid"].clone();
    let mut claude = driven.local_claude();
    claude.env("CLAUDE_CODE_ENABLE_SDK_FILE_CHECKPOINTING", "1");
    claude.args(["-p", "--resume", session, "--rewind-files", prompt.as_str().expect("an id")]);
    drop(handoff_tests::world::said(&mut claude).ok());
    assert_eq!(fs::read_to_string(&notes).expect("read"), "one\n");
    assert!(!driven.project.join("new").exists());
}

#[test]
fn a_session_of_fifty_megabytes_travels_and_its_next_turn_is_cheap() {
    let begun = Begun::with(Agent::Claude);
    let (_, transcript) = &sessions::transcript(&begun.driven.world);
    let mut text = fs::read_to_string(transcript).expect("read");
    let record = |noise: &str| json!({ "type": "tools-used", "noise": noise });
    text.push_str(&sessions::noise(50_000_000, record));
    begun.driven.world.write(transcript, &text);
    begun.travels_twice();
}
