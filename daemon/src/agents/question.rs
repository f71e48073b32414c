//! What questions of agents have in common.

use handoff_proto::wire;
use serde_json::Value;

use super::cut::{LINE_CHARS_MAX, beginning};

/// Questions of one request, at most; agents have three or four.
pub(super) const QUESTIONS_MAX: usize = 16;

/// Choices of one question, at most; agents have three or four.
const CHOICES_MAX: usize = 16;

/// What a question offers.
pub(super) fn choices(question: &Value) -> Vec<wire::Choice> {
    let cut = |value: &Value| beginning(value.as_str().unwrap_or_default(), LINE_CHARS_MAX);
    let choice = |option: &Value| wire::Choice {
        label: cut(&option["label"]),
        description: cut(&option["description"]),
    };
    let options = question["options"].as_array().map(Vec::as_slice).unwrap_or_default();
    options.iter().take(CHOICES_MAX).map(choice).collect()
}
