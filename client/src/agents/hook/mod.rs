//! What agents ask before a prompt is sent: `handoff hook claude|codex`.
//!
//! A prompt that asks for it hands the session off and goes no further. While a run holds the
//! session, any other prompt is answered with where it runs. All else passes at once and unseen:
//! this runs at every prompt, so it reads one small file, and what fails on an ordinary prompt lets
//! that through.

mod handoff;
mod prompt;
mod reply;

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::PathBuf;

use clap::ValueEnum as _;
use serde::Deserialize;

use super::Kind;
use super::lease::Leases;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::settings::Places;
use prompt::asked;

/// The subcommand's name.
pub const WORD: &str = "hook";

/// Longer input is no prompt that anybody typed.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// The event that both agents ask about, as both call it.
const EVENT: &str = "UserPromptSubmit";

/// What an agent says about a prompt.
#[derive(Debug, Deserialize)]
struct Event {
    hook_event_name: String,
    session_id: String,
    cwd: PathBuf,
    prompt: String,
}

impl Event {
    /// None for what is no prompt, or not as we know it.
    fn read(input: impl Read) -> Option<Self> {
        let mut bytes = Vec::new();
        input.take(INPUT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let event: Self = serde_json::from_slice(&bytes).ok()?;
        (event.hook_event_name == EVENT).then_some(event)
    }
}

/// Answers an agent if the words of the command line are those that [`super::install`] has it run;
/// before anything else is set up, since the agent's user waits.
#[must_use]
pub fn answer_if_asked(words: &[OsString]) -> Option<Exit> {
    let [_, hook, name] = words else { return None };
    if hook != OsStr::new(WORD) {
        return None;
    }
    let interface = Kind::from_str(name.to_str()?, false).ok()?;
    Some(answer(interface, std::io::stdin().lock(), &Output::new(Format::Json)))
}

/// Answers an agent about the prompt that this input describes.
pub fn answer(interface: Kind, input: impl Read, output: &Output) -> Exit {
    let reason = Event::read(input).and_then(|event| {
        let places = Places::from_environment().ok()?;
        decide(interface, &event, &places)
    });
    if let Some(reason) = reason {
        // Nobody else could be told that the agent does not listen.
        drop(output.json(&reply::block(interface, &reason)));
    }
    Exit::Done
}

/// Why a prompt goes no further, for its user; none lets it pass.
fn decide(interface: Kind, event: &Event, places: &Places) -> Option<String> {
    let leases = Leases::new(places);
    if let Some(task) = asked(interface, &event.prompt) {
        return Some(handoff::hand_off(interface, event, task, places, &leases));
    }
    match leases.held(interface.name(), &event.session_id) {
        Ok(Some(lease)) => Some(reply::held(interface, &event.session_id, &lease)),
        Ok(None) if leases.is_under_way(interface.name(), &event.session_id) => {
            Some(reply::under_way())
        }
        Ok(None) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::LeaseHolder;
    use super::*;

    fn event(prompt: &str) -> Event {
        let input = serde_json::json!({
            "hook_event_name": EVENT, "session_id": "abc", "cwd": "/w", "prompt": prompt,
            "permission_mode": "default",
        });
        Event::read(input.to_string().as_bytes()).expect("an event")
    }

    #[test]
    fn an_ordinary_prompt_passes_unless_a_run_holds_its_session() {
        let home = tempfile::tempdir().expect("directory");
        let places = Places::beneath(home.path());
        assert_eq!(decide(Kind::Claude, &event("hello"), &places), None);
        assert!(!home.path().join("state").exists(), "nothing is written");
        let leases = Leases::new(&places);
        let holder = LeaseHolder {
            run: "abcdefghij".to_owned(),
            name: "deps".to_owned(),
            remote: "box".to_owned(),
            prompt: String::new(),
            since_unix_nanos: 1_793_000_000_000_000_000,
        };
        leases.hold("claude", "abc", &holder).expect("lease");
        let told = decide(Kind::Claude, &event("hello"), &places).expect("an answer");
        for text in ["deps", "box", "handoff pull deps", "claude --resume abc --fork-session"] {
            assert!(told.contains(text), "no {text:?} in {told}");
        }
        assert_eq!(decide(Kind::Codex, &event("hello"), &places), None, "another agent's");
    }

    #[test]
    fn an_ordinary_prompt_waits_for_a_handoff_that_is_under_way() {
        let home = tempfile::tempdir().expect("directory");
        let places = Places::beneath(home.path());
        let handoff = Leases::new(&places).begin_handoff("codex", "abc").expect("lock");
        assert!(decide(Kind::Codex, &event("hello"), &places).is_some());
        drop(handoff);
        assert_eq!(decide(Kind::Codex, &event("hello"), &places), None);
    }

    #[test]
    fn what_is_no_prompt_is_no_concern_of_ours() {
        for input in ["", "{", "{}", "[1]", r#"{"hook_event_name":"Stop","session_id":"a"}"#] {
            assert!(Event::read(input.as_bytes()).is_none(), "{input}");
        }
    }
}
