//! The globs of `--include` and `--exclude`.
//!
//! They are read like lines of an ignore file in the root: without a slash they match a name at
//! any depth, with one a path from the root; a slash at the end means directories only; a
//! directory that matches stands for all that is in it.

use super::pattern::{Patterns, Shape, Verdict};

/// A list of globs.
#[derive(Clone, Debug, Default)]
pub(super) struct Globs(Patterns);

impl Globs {
    pub(super) fn new(globs: &[Vec<u8>]) -> Self {
        Self(Patterns::from_globs(globs))
    }

    /// Whether a path from the root matches by itself, not because of a directory above it.
    pub(super) fn matches(&self, path: &[u8], shape: Shape) -> bool {
        self.0.verdict(path, shape) == Some(Verdict::Matched)
    }

    /// Whether anything beneath this directory might match.
    pub(super) fn may_match_below(&self, directory: &[u8]) -> bool {
        self.0.may_match_below(directory)
    }
}

/// The glob that matches exactly this path from the root.
#[must_use]
pub fn exact_glob(path: &[u8]) -> Vec<u8> {
    let mut glob = vec![b'/'];
    for &byte in path {
        if b"*?[]\\!#".contains(&byte) {
            glob.push(b'\\');
        }
        glob.push(byte);
    }
    glob
}
