//! Plan mode. A thread that plans proposes its plan at the end of a turn; whether it is carried out is
//! asked by whoever drives Codex, as its own interface does. The mode is the thread's: it stays in it,
//! here and when it is resumed, until a turn begins in another one.

use handoff_proto::wire::{self, answer};
use serde_json::{Value, json};

use crate::agents::cut::{TEXT_CHARS_MAX, beginning};

/// What has a plan carried out, in the words of Codex's own interface.
const YES: &str = "Implement the plan.";

/// What the agent is told of a no without a reason.
pub(super) const NO: &str = "The user does not want that plan carried out.";

/// How far planning has come.
#[derive(Debug, Default)]
pub(super) struct Planning {
    /// The mode in which a plan is carried out; none where the thread is in it.
    way_out: Option<Value>,
    /// The plan that the turn has proposed.
    proposed: Option<String>,
    /// The question that is open.
    asked: Option<String>,
}

/// What the agent is told of its plan.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) text: String,
    /// The mode in which it goes on, where that is another one.
    pub(super) mode: Option<Value>,
}

impl Planning {
    /// The thread is in this mode, if that is told.
    pub(super) fn in_mode(&mut self, mode: &Value) {
        let Some(kind) = mode["mode"].as_str() else { return };
        let settings = &mode["settings"];
        self.way_out = (kind == "plan").then(|| {
            json!({
                "mode": "default",
                "settings": {
                    "model": settings["model"],
                    "reasoning_effort": settings["reasoning_effort"],
                    // Codex's own for that mode.
                    "developer_instructions": null,
                },
            })
        });
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.proposed = None;
    }

    /// The turn proposes a plan.
    pub(super) fn propose(&mut self, plan: &str) {
        self.proposed = Some(plan.to_owned());
    }

    /// What is to be asked at the end of that turn, if anything.
    pub(super) fn ask(&mut self, conversation: &str, turn: &str) -> Option<wire::InputNeeded> {
        let plan = self.proposed.take().filter(|_| self.way_out.is_some())?;
        let id = format!("{conversation}-plan-{turn}");
        self.asked = Some(id.clone());
        let text = beginning(&format!("carry out this plan?\n{plan}"), TEXT_CHARS_MAX);
        Some(wire::InputNeeded {
            id,
            kind: wire::PERMISSION.to_owned(),
            text,
            ..Default::default()
        })
    }

    /// Takes an answer; nothing where it is none to this.
    pub(super) fn answer(&mut self, id: &str, answer: &answer::What) -> Option<Verdict> {
        self.asked.take_if(|asked| asked == id)?;
        Some(match answer {
            answer::What::Denied(why) => {
                let why = if why.trim().is_empty() { NO } else { why.trim() };
                Verdict { text: why.to_owned(), mode: None }
            }
            answer::What::Approved(_) | answer::What::Text(_) => {
                Verdict { text: YES.to_owned(), mode: self.way_out.clone() }
            }
        })
    }

    /// The question that nobody has to answer any more, since the user said something else.
    pub(super) fn give_up(&mut self) -> Option<String> {
        self.asked.take()
    }
}
