//! A directory that is still to be looked into, with all that its place in the tree decides.

use std::cell::Cell;
use std::sync::Arc;

use crate::path::TreePath;
use crate::tree::ignore_rules::IgnoreRules;
use crate::tree::pattern::Shape;
use crate::tree::tracked::{Beneath, Case, Tracked, TrackedPaths};

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
    /// Its number in this walk; the root's is 0.
    pub(super) number: usize,
    /// `None` for the root.
    pub(super) path: Option<TreePath>,
    pub(super) manner: Manner,
    /// The rules of the repository around it.
    pub(super) git_rules: IgnoreRules,
    /// The rules of `.handoffignore` files; repositories do not interrupt them.
    pub(super) handoff_rules: IgnoreRules,
    /// The repository that the directory is in.
    pub(super) repository: Option<Inside>,
}

/// What counts while the walk is inside a repository. Cheap to clone.
#[derive(Clone)]
pub(super) struct Inside {
    tracked: Arc<TrackedPaths>,
    /// What of it lies beneath the directory.
    here: Beneath,
    /// Where in that the next name most likely is: names are asked for in git's order, but for
    /// what lies in directories.
    next: Cell<usize>,
    pub(super) case: Case,
}

impl Inside {
    /// At the root of a repository.
    pub(super) fn new(tracked: Tracked) -> Self {
        let here = tracked.paths.all();
        Self { tracked: Arc::new(tracked.paths), here, next: Cell::new(0), case: tracked.case }
    }

    fn below(&self, name: &[u8]) -> Self {
        let here = self.tracked.below(self.here, name);
        let tracked = Arc::clone(&self.tracked);
        Self { tracked, here, next: Cell::new(0), case: self.case }
    }

    fn holds(&self, name: &[u8]) -> bool {
        let found = self.tracked.find(self.here, name, self.next.get());
        if let Some(found) = found {
            self.next.set(found + 1);
        }
        found.is_some()
    }
}

impl Visit {
    pub(super) fn root(manner: Manner) -> Self {
        Self {
            number: 0,
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

    /// A directory in this one, which gets its number when it is queued.
    pub(super) fn below(&self, path: TreePath, manner: Manner) -> Self {
        let repository = self.repository.as_ref().map(|inside| inside.below(path.file_name()));
        Self {
            number: 0,
            path: Some(path),
            manner,
            git_rules: self.git_rules.clone(),
            handoff_rules: self.handoff_rules.clone(),
            repository,
        }
    }

    /// Whether a name in this directory is tracked by itself.
    pub(super) fn tracks(&self, name: &[u8]) -> bool {
        self.repository.as_ref().is_some_and(|inside| inside.holds(name))
    }

    /// Whether anything beneath a directory in this one is tracked.
    pub(super) fn tracks_below(&self, name: &[u8]) -> bool {
        let holds = |inside: &Inside| !inside.tracked.below(inside.here, name).is_empty();
        self.repository.as_ref().is_some_and(holds)
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
