//! What passes, and what is kept back.

use super::lease::LeaseHolder;
use super::*;

fn event(prompt: &str) -> Event {
    let input = serde_json::json!({
        "hook_event_name": EVENT, "session_id": "abc", "cwd": "/w", "prompt": prompt,
        "permission_mode": "default",
    });
    match Heard::read(Kind::Claude, input.to_string().as_bytes()) {
        Heard::Prompt(event) => event,
        heard => panic!("{heard:?}"),
    }
}

fn decided(interface: Kind, prompt: &str, places: &Places) -> Option<String> {
    // What has become of runs is asked of nobody in these tests: there is no time for it.
    decide(interface, &event(prompt), places, Instant::now())
}

#[test]
fn an_ordinary_prompt_passes_unless_a_run_holds_its_session() {
    let home = tempfile::tempdir().expect("directory");
    let places = Places::beneath(home.path());
    assert_eq!(decided(Kind::Claude, "hello", &places), None);
    assert!(!home.path().join("state").exists(), "nothing is written");
    let leases = Leases::new(&places);
    let holder = LeaseHolder {
        run: "abcdefghij".to_owned(),
        name: "deps".to_owned(),
        remote: "box".to_owned(),
        prompt: prompt_hash("go on"),
        since_unix_nanos: 1_793_000_000_000_000_000,
    };
    leases.hold("claude", "abc", &holder).expect("lease");
    let told = decided(Kind::Claude, "hello", &places).expect("an answer");
    for text in ["deps", "box", "handoff pull deps", "claude --resume abc --fork-session"] {
        assert!(told.contains(text), "no {text:?} in {told}");
    }
    assert_eq!(decided(Kind::Codex, "hello", &places), None, "another agent's");
    let told = decided(Kind::Claude, "/handoff go on", &places).expect("an answer");
    assert!(told.starts_with("handed off: run deps is on box"), "{told}");
    let told = decided(Kind::Claude, "/handoff something else", &places).expect("an answer");
    assert!(told.starts_with("not sent: this session goes on in run deps"), "{told}");
}

#[test]
fn an_ordinary_prompt_waits_for_a_handoff_that_is_under_way() {
    let home = tempfile::tempdir().expect("directory");
    let places = Places::beneath(home.path());
    let claim = Leases::new(&places).claim("codex", "abc", Duration::ZERO).expect("lock");
    assert!(claim.is_some());
    assert!(decided(Kind::Codex, "hello", &places).is_some());
    drop(claim);
    assert_eq!(decided(Kind::Codex, "hello", &places), None);
}

#[test]
fn what_fails_lets_an_ordinary_prompt_pass_and_keeps_one_back_that_asks_for_a_handoff() {
    let home = tempfile::tempdir().expect("directory");
    let places = Places::beneath(home.path());
    // Whatever is looked for there cannot be looked at.
    std::fs::write(home.path().join("state"), "").expect("write");
    assert_eq!(decided(Kind::Claude, "hello", &places), None);
    let told = decided(Kind::Claude, "/handoff go on", &places).expect("an answer");
    assert!(told.starts_with("not handed off: "), "{told}");
}
