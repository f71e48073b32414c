//! What an installation changed, so that it can be taken back: to the byte where nobody has changed
//! a file since, else our part alone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::edit::Edit;
use super::{hooks, trust};

/// What an installation changed.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Record {
    /// In the order in which they were changed.
    pub(super) files: Vec<Placed>,
    /// Directories that were made, the outermost first.
    pub(super) directories: Vec<PathBuf>,
}

/// A changed file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) part: Part,
    /// Whether there was no such file.
    pub(super) created: bool,
    pub(super) edit: Edit,
    /// Hash of the file with the change; empty where our part was there already.
    pub(super) after: String,
}

/// What of ours is in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// A hook with this command, and so many containers around it.
    Hook { command: String, made: usize },
    /// The trust in the hook of this key.
    Trust { key: String },
}

impl Part {
    /// Whether it must go, whatever has become of the file: a text that its user has changed is the
    /// user's own by now.
    pub(super) fn must_go(&self) -> bool {
        !matches!(self, Self::Whole)
    }
}

/// A file without our part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// There is nothing else in it.
    Nothing,
    /// What is left.
    Text(String),
    /// Our part cannot be told from the rest any more.
    Mixed,
}

impl Placed {
    /// The file without our part; `text` is what it holds now.
    pub(super) fn take_back(&self, text: &str) -> Without {
        let before = match hash(text) == self.after {
            true => self.edit.take_back(text),
            false => None,
        };
        let left = before.or_else(|| match &self.part {
            Part::Whole => None,
            Part::Hook { command, made } => hooks::remove(text, command, *made).ok(),
            Part::Trust { key } => trust::remove(text, key, &self.edit),
        });
        match left {
            Some(left) if self.created && is_empty(&left) => Without::Nothing,
            Some(left) => Without::Text(left),
            None => Without::Mixed,
        }
    }
}

/// Whether a file that we made holds no more than it must to be valid.
fn is_empty(text: &str) -> bool {
    let text: String = text.split_whitespace().collect();
    text.is_empty() || text == "{}"
}

/// What a text is recognised by.
pub(super) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
