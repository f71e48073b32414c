//! A directory that is still to be looked into, with all that its place in the tree decides.

use std::rc::Rc;

use crate::path::TreePath;
use crate::tree::ignore_rules::IgnoreRules;
use crate::tree::pattern::Shape;
use crate::tree::tracked::{Case, TrackedPaths};

use super::LeftOutReason;

/// How the things in a directory are judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Untracked things are carried unless a rule ignores them.
    ByRules,
    /// A rule ignores the directory: only tracked and included things in it are carried.
    Ignored,
    /// `--include` names the directory: everything in it is carried.
    Included,
    /// In a git directory everything is carried that a live process does not need.
    GitDirectory,
}

/// A directory to look into.
pub(super) struct Visit {
    /// `None` for the root.
    pub(super) path: Option<TreePath>,
    pub(super) manner: Manner,
    /// The rules of the repository around it.
    pub(super) git_rules: IgnoreRules,
    /// The rules of `.handoffignore` files; repositories do not interrupt them.
    pub(super) handoff_rules: IgnoreRules,
    /// The repository that the directory is in.
    pub(super) repository: Option<Rc<Inside>>,
}

/// What counts while the walk is inside a repository.
pub(super) struct Inside {
    /// The length of the repository's path with the slash after it.
    pub(super) prefix_len: usize,
    pub(super) tracked: TrackedPaths,
    pub(super) case: Case,
}

impl Visit {
    pub(super) fn root(manner: Manner) -> Self {
        Self {
            path: None,
            manner,
            git_rules: IgnoreRules::default(),
            handoff_rules: IgnoreRules::default(),
            repository: None,
        }
    }

    /// The path as rules see it.
    pub(super) fn path_bytes(&self) -> &[u8] {
        self.path.as_ref().map_or(&[], TreePath::as_bytes)
    }

    pub(super) fn below(&self, path: TreePath, manner: Manner) -> Self {
        Self {
            path: Some(path),
            manner,
            git_rules: self.git_rules.clone(),
            handoff_rules: self.handoff_rules.clone(),
            repository: self.repository.clone(),
        }
    }

    pub(super) fn tracks(&self, path: &TreePath) -> bool {
        self.repository.as_ref().is_some_and(|inside| {
            inside.tracked.contains_bytes(&path.as_bytes()[inside.prefix_len..])
        })
    }

    pub(super) fn tracks_below(&self, path: &TreePath) -> bool {
        self.repository.as_ref().is_some_and(|inside| {
            inside.tracked.holds_below_bytes(&path.as_bytes()[inside.prefix_len..])
        })
    }

    /// The rule that ignores a path in this directory, if one does.
    pub(super) fn ignored(&self, path: &TreePath, shape: Shape) -> Option<LeftOutReason> {
        if self.git_rules.ignore(path.as_bytes(), shape) {
            Some(LeftOutReason::Ignored)
        } else if self.handoff_rules.ignore(path.as_bytes(), shape) {
            Some(LeftOutReason::HandoffIgnored)
        } else {
            None
        }
    }
}
