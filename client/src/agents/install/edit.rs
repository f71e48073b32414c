//! One change to a text, which can be taken back: what was put where, and in place of what.

use serde::{Deserialize, Serialize};

/// A change to a text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Edit {
    /// Where, in bytes.
    pub(super) at: usize,
    /// What was there.
    pub(super) removed: String,
    /// What is there instead.
    pub(super) inserted: String,
}

impl Edit {
    /// The text with the change.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        replace(text, self.at, &self.removed, &self.inserted)
    }

    /// The text without the change, if it holds that in its place.
    pub(super) fn take_back(&self, text: &str) -> Option<String> {
        replace(text, self.at, &self.inserted, &self.removed)
    }
}

fn replace(text: &str, at: usize, old: &str, new: &str) -> Option<String> {
    let rest = text.get(at..)?.strip_prefix(old)?;
    Some([&text[..at], new, rest].concat())
}

/// How lines of a text end.
pub(super) fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}
