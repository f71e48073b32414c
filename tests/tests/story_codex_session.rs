//! A thread of the real Codex goes on in a sandbox, and comes back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use handoff_tests::{
    agent::{Driven, LOCAL_KEY},
    model::{Turn, heard},
};
use serde_json::Value;

/// The threads on the laptop, by the names of their files.
fn rollouts(driven: &Driven) -> Vec<PathBuf> {
    fn find(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                find(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    find(&driven.world.home().join(".codex/sessions"), &mut found);
    found.sort();
    found
}

fn thread(rollout: &Path) -> String {
    let name = rollout.file_stem().expect("a name").to_string_lossy().into_owned();
    name[name.len() - 36..].to_owned()
}

/// The settings that a thread has last.
fn settings(rollout: &Path) -> Value {
    let text = fs::read_to_string(rollout).expect("read");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record"));
    let mut settings: Vec<Value> = records
        .filter(|record| record["payload"]["type"] == "thread_settings_applied")
        .map(|record| record["payload"]["thread_settings"].clone())
        .collect();
    settings.pop().unwrap_or_default()
}

#[test]
fn a_thread_of_the_laptop_goes_on_there_and_here_again() {
    let driven =
        Driven::with_codex(vec![Turn::text("LOCAL-ANSWER-1"), Turn::text("LOCAL-ANSWER-2")]);
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    driven.local_codex_turn(&["LOCAL-PROMPT-1"]);
    let [rollout] = &rollouts(&driven)[..] else { panic!("one thread") };
    let id = thread(rollout);
    driven.local_codex_turn(&["resume", &id, "LOCAL-PROMPT-2"]);
    let before = fs::read(rollout).expect("read");
    let permissions = settings(rollout)["permission_profile"].clone();
    assert_ne!(permissions, Value::Null);

    driven.model.set(vec![Turn::exec("echo remote >> notes"), Turn::text("REMOTE-ANSWER")]);
    let words = ["-n", "on", "codex", "-a", "never", "REMOTE-PROMPT"];
    let said = handoff(&words);
    assert!(said.stderr.contains(&id), "{said}");
    drop(said.ok());
    handoff(&["codex", "another"]).fails(5, &["run on on local goes on with session", "--fork"]);
    let run = driven.finished("on");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(run["session_id"], id.as_str());
    let last = heard(&driven.model.turns().pop().expect("turns").body);
    for text in ["LOCAL-PROMPT-1", "LOCAL-ANSWER-2", "REMOTE-PROMPT"] {
        assert!(last.contains(text), "no {text} in {last}");
    }

    let pulled = handoff(&["pull", "on"]);
    assert!(pulled.stderr.contains(&format!("codex resume {id}")), "{pulled}");
    drop(pulled.ok());
    assert_eq!(rollouts(&driven), std::slice::from_ref(rollout));
    assert!(fs::read(rollout).expect("read").starts_with(&before));
    assert_eq!(settings(rollout)["permission_profile"], permissions, "it may no more than before");
    let notes = fs::read_to_string(driven.project.join("notes")).expect("read");
    assert_eq!(notes, "one\nremote\n");

    driven.model.set(vec![Turn::text("LOCAL-ANSWER-3")]);
    driven.local_codex_turn(&["resume", &id, "LOCAL-PROMPT-3"]);
    let asked = driven.model.turns().pop().expect("turns");
    assert_eq!(asked.headers["authorization"], format!("Bearer {LOCAL_KEY}"));
    for text in ["LOCAL-PROMPT-1", "REMOTE-PROMPT", "REMOTE-ANSWER", "LOCAL-PROMPT-3"] {
        assert!(heard(&asked.body).contains(text), "no {text}");
    }
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
    let [rollout] = &rollouts(&driven)[..] else { panic!("one thread") };
    assert_eq!(pulled["conversation"]["session_id"], thread(rollout).as_str());
    let born = settings(rollout);
    assert_eq!(born["approval_policy"], "on-request");
    assert_eq!(born["permission_profile"]["type"], "managed");

    let id = thread(rollout);
    driven.model.set(vec![Turn::text("REMOTE-ANSWER")]);
    driven.codex("on", &["REMOTE-PROMPT"]);
    drop(driven.finished("on"));
    driven.model.set(vec![Turn::text("LOCAL-ANSWER")]);
    driven.local_codex_turn(&["resume", &id, "LOCAL-PROMPT"]);
    let pulled = handoff(&["--json", "pull", "on"]).json();
    assert_eq!(pulled["conversation"]["mode"], "forked", "{pulled:#}");
    let fork = pulled["conversation"]["session_id"].as_str().expect("an id");
    for (thread, theirs, not_theirs) in
        [(id.as_str(), "LOCAL-PROMPT", "REMOTE-PROMPT"), (fork, "REMOTE-PROMPT", "LOCAL-PROMPT")]
    {
        driven.model.set(vec![Turn::text("and so on")]);
        driven.local_codex_turn(&["resume", thread, "WHAT NOW"]);
        let last = heard(&driven.model.turns().pop().expect("turns").body);
        assert!(last.contains("NEW-PROMPT") && last.contains(theirs), "{last}");
        assert!(!last.contains(not_theirs), "{last}");
    }
}
