//! What an agent says about a prompt, read as far as it can be.

use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;

use super::EVENT;
use super::prompt::asked;
use crate::agents::Kind;

/// Longer input is no prompt that anybody typed.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// As much of a text tells whether it asks for a handoff.
const BEGINNING_CHARS: usize = 32;

/// What an agent says about a prompt.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    hook_event_name: String,
    pub(super) session_id: String,
    pub(super) cwd: PathBuf,
    pub(super) prompt: String,
}

/// What an agent asks about.
#[derive(Debug)]
pub(super) enum Heard {
    /// A prompt.
    Prompt(Event),
    /// A prompt that asks for a handoff, in a form that we do not know.
    Unreadable,
    /// Nothing that is any concern of ours.
    Other,
}

impl Heard {
    pub(super) fn read(interface: Kind, input: impl Read) -> Self {
        let mut bytes = Vec::new();
        // What came before an error may still tell that a handoff is asked for.
        drop(input.take(INPUT_BYTES_MAX).read_to_end(&mut bytes));
        match serde_json::from_slice::<Event>(&bytes) {
            Ok(event) if event.hook_event_name == EVENT => Self::Prompt(event),
            Ok(_) => Self::Other,
            Err(_) if asks(interface, &String::from_utf8_lossy(&bytes)) => Self::Unreadable,
            Err(_) => Self::Other,
        }
    }
}

/// Whether a text begins with the words for a handoff where a prompt belongs.
fn asks(interface: Kind, said: &str) -> bool {
    let Some((_, rest)) = said.split_once("\"prompt\"") else { return false };
    rest.match_indices('"').any(|(at, quote)| {
        let text: String = rest[at + quote.len()..].chars().take(BEGINNING_CHARS).collect();
        // A quote in the prompt begins no text.
        !rest[..at].ends_with('\\') && asked(interface, &text.replace(['"', '\\'], " ")).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_prompt_is_no_concern_of_ours() {
        for input in [
            "",
            "{",
            "{}",
            "[1]",
            r#"{"hook_event_name":"Stop","session_id":"a"}"#,
            r#"{"hook_event_name":"Stop","session_id":"a","cwd":"/w","prompt":"/handoff x"}"#,
            r#"{"prompt":"tell me of \"/handoff x\""}"#,
            r#"{"prompt":"no","note":"x & y"}"#,
            r#"{"last":"/handoff x"}"#,
        ] {
            let heard = Heard::read(Kind::Claude, input.as_bytes());
            assert!(matches!(heard, Heard::Other), "{input}: {heard:?}");
        }
    }

    #[test]
    fn a_prompt_that_asks_for_a_handoff_is_known_in_whatever_form() {
        for input in [
            r#"{"prompt":"/handoff x"}"#,
            r#"{"hook_event_name":"UserPromptSubmit","prompt":"/handoff"}"#,
            r#"{"hook_event_name":"UserPromptSubmit","session_id":7,"cwd":"/w","prompt":"& x"}"#,
            r#"{"prompt":[{"type":"text","text":"/handoff x"}]}"#,
            r#"{"prompt": " /handoff\nx", "cwd":"#,
        ] {
            let heard = Heard::read(Kind::Claude, input.as_bytes());
            assert!(matches!(heard, Heard::Unreadable), "{input}: {heard:?}");
        }
        let invalid = b"{\"prompt\":\"$handoff \xff\"}";
        assert!(matches!(Heard::read(Kind::Codex, &invalid[..]), Heard::Unreadable));
    }
}
