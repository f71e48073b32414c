//! The rules that hold in one directory: those of its ignore file, then those of the levels above.

use std::sync::Arc;

use super::pattern::{Patterns, Shape, Verdict};

/// A chain of ignore files, the innermost first. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct IgnoreRules(Option<Arc<Level>>);

#[derive(Debug)]
struct Level {
    patterns: Patterns,
    /// The length of the path of the ignore file's directory with the slash after it; paths are
    /// matched without that.
    base_len: usize,
    outer: IgnoreRules,
}

impl IgnoreRules {
    /// Adds the rules of a file in `directory`, which is empty for the root.
    #[must_use]
    pub(super) fn with(&self, patterns: Patterns, directory: &[u8]) -> Self {
        if patterns.is_empty() {
            return self.clone();
        }
        Self(Some(Arc::new(Level { patterns, base_len: base_len(directory), outer: self.clone() })))
    }

    /// Whether a path beneath all those directories is ignored, given that its parent is not.
    pub(super) fn ignore(&self, path: &[u8], shape: Shape) -> bool {
        let mut level = self.0.as_deref();
        while let Some(Level { patterns, base_len, outer }) = level {
            match patterns.verdict(&path[*base_len..], shape) {
                Some(Verdict::Matched) => return true,
                Some(Verdict::Negated) => return false,
                None => level = outer.0.as_deref(),
            }
        }
        false
    }
}

fn base_len(directory: &[u8]) -> usize {
    if directory.is_empty() { 0 } else { directory.len() + 1 }
}
