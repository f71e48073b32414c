//! A session is advanced in one place: by one run, or by its user here, never by two.

use std::io::Write as _;
use std::process::Stdio;

use handoff_tests::agent::{Driven, SECRET, programs};
use handoff_tests::model::Turn;
use handoff_tests::remote::Remote;
use handoff_tests::wire::Wire;
use serde_json::{Value, json};

/// The runs of Claude Code in this directory.
fn runs(driven: &Driven) -> Vec<Value> {
    let runs = driven.world.handoff(&driven.project, ["ls", "--json"]);
    let mut runs: Vec<Value> = serde_json::from_slice(&runs.stdout).expect("JSON");
    runs.retain(|run| run["agent"] == "claude");
    runs
}

/// What a prompt in the session is answered with; empty where it goes to the model.
fn answered(driven: &Driven, session: &str, prompt: &str) -> String {
    let event = json!({
        "hook_event_name": "UserPromptSubmit", "session_id": session, "prompt": prompt,
        "cwd": driven.project,
    });
    let mut hook = driven.world.command(&driven.project, "handoff");
    hook.args(["hook", "claude"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut hook = hook.spawn().expect("spawn");
    let mut input = hook.stdin.take().expect("its input");
    input.write_all(event.to_string().as_bytes()).expect("write");
    drop(input);
    let said = hook.wait_with_output().expect("wait").stdout;
    let said: Value = serde_json::from_slice(&said).unwrap_or_default();
    said["reason"].as_str().unwrap_or_default().to_owned()
}

/// The session that a turn here leaves.
fn session(driven: &Driven) -> String {
    driven.local_turn(&["LOCAL-PROMPT"]);
    let planned = driven.world.handoff(&driven.project, ["plan", "--json", "claude", "x"]).json();
    planned["session"]["session_id"].as_str().expect("an id").to_owned()
}

#[test]
fn one_session_that_is_handed_off_in_several_places_at_once_makes_one_run() {
    let driven =
        Driven::with(vec![Turn::text("LOCAL-ANSWER"), Turn::text("REMOTE-ANSWER").again()]);
    let session = session(&driven);
    let hand_off = |name: &str| {
        let words = ["-n", name, "--session", &session, "claude", "GO ON"];
        driven.world.spawn(&driven.project, "handoff", words)
    };
    let both = ["one", "two", "three"].map(hand_off).map(|child| child.wait_with_output());
    let both = both.map(|output| output.expect("wait"));
    let mut codes = both.each_ref().map(|output| output.status.code());
    codes.sort();
    assert_eq!(codes, [Some(0), Some(5), Some(5)], "{both:#?}");
    let [run] = &runs(&driven)[..] else { panic!("{:#?}", runs(&driven)) };
    assert_eq!(run["session_id"], session.as_str());
    let name = run["name"].as_str().expect("a name");
    for output in both.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&format!("run {name} on local goes on with session")), "{said}");
    }
    // From within the agent it is the same run.
    let told = answered(&driven, &session, "/handoff GO ON");
    assert!(told.contains(name), "{told}");
    assert_eq!(runs(&driven).len(), 1);

    // What the run has become of decides what to do next.
    drop(driven.finished(name));
    let told = answered(&driven, &session, "hello");
    let pull = format!("`handoff pull {name}`");
    assert!(told.contains("has finished") && told.contains(&pull), "{told}");
    driven.world.handoff(&driven.project, ["pull", name]).ok();
    assert_eq!(answered(&driven, &session, "hello"), "");
}

#[test]
fn a_handoff_that_waits_for_its_remote_holds_its_session() {
    let driven = Driven::with(vec![Turn::text("LOCAL-ANSWER")]);
    let session = session(&driven);
    let url = driven.model.url();
    let mut remote = Remote::with_config(&format!(
        "[tools]\npaths = [{:?}]\n[providers.anthropic]\nbase_url = \"{url}\"\n",
        programs()
    ));
    let (state, config) = (remote.state(), remote.directory().join("handoffd.toml"));
    let variables = [
        ("HOME", remote.directory()),
        ("HANDOFFD_STATE", state.as_path()),
        ("HANDOFFD_CONFIG", config.as_path()),
    ];
    driven.world.keep_credential("anthropic", SECRET, &variables);
    let wire = Wire::to(remote.address());
    let invitation = wire.through(&remote.invite("ada", &[]));
    let handoff = |words: &[&str]| driven.world.handoff(&driven.project, words);
    handoff(&["remote", "add", "box", &invitation]).ok();
    remote.stop();
    wire.cut();

    let hand_off = |name: &str| handoff(&["-r", "box", "-n", name, "claude", "GO ON"]);
    hand_off("one").fails(6, &["run one is kept here"]);
    hand_off("two").fails(5, &["run one, which is kept here", "resume-upload one", "--fork"]);
    let told = answered(&driven, &session, "hello");
    assert!(told.contains("`handoff resume-upload one`") && told.contains("rm one"), "{told}");
    handoff(&["rm", "one"]).ok();
    assert_eq!(answered(&driven, &session, "hello"), "");

    // From within the agent it is kept just the same, once.
    handoff(&["remote", "default", "box"]).ok();
    for _ in 0..2 {
        let told = answered(&driven, &session, "/handoff GO ON");
        assert!(told.contains("not sent yet") && told.contains("resume-upload"), "{told}");
    }
    let [unsent] = &runs(&driven)[..] else { panic!("{:#?}", runs(&driven)) };
    assert_eq!((&unsent["state"], &unsent["session_id"]), (&json!("sending"), &json!(session)));
    let name = unsent["name"].as_str().expect("a name");

    // Whoever sends it: from then on the run holds the session.
    remote.restart();
    wire.lead_to(remote.address());
    handoff(&["resume-upload", name]).ok();
    let told = answered(&driven, &session, "hello");
    assert!(told.contains(&format!("goes on in run {name} on box")), "{told}");
    hand_off("three").fails(5, &[&format!("run {name} on box goes on with session")]);
    assert_eq!(remote.runs(), 1);
    // Nothing of it outlives the test.
    assert_eq!(driven.finished(name)["outcome"], "succeeded");
}
