//! What the caller, who may run git, says about a repository.

use crate::path::{TreePath, compare_by_components};

/// What one repository tracks, and how it reads its ignore rules.
#[derive(Clone, Debug, Default)]
pub struct Tracked {
    /// The paths in its index, relative to the repository; submodules and all stages included.
    pub paths: TrackedPaths,
    /// The content of `info/exclude`, where the git directory is not in the tree. For one that is,
    /// the walk reads the file itself.
    pub info_exclude: Option<Vec<u8>>,
    /// The repository's `core.ignoreCase`.
    pub case: Case,
}

/// How letters compare in ignore rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Case {
    /// `a` is not `A`.
    #[default]
    Sensitive,
    /// ASCII letters match in either case, as git does it.
    Insensitive,
}

/// A set of paths that also knows which directories hold any of them.
#[derive(Clone, Debug, Default)]
pub struct TrackedPaths {
    /// Sorted, so that what a directory holds is contiguous.
    sorted: Vec<TreePath>,
}

impl TrackedPaths {
    /// Whether exactly this path is in the set.
    #[must_use]
    pub fn contains(&self, path: &TreePath) -> bool {
        self.contains_bytes(path.as_bytes())
    }

    /// Whether anything beneath this directory is in the set.
    #[must_use]
    pub fn holds_below(&self, directory: &TreePath) -> bool {
        self.holds_below_bytes(directory.as_bytes())
    }

    /// As [`contains`](Self::contains), without building a path for every question.
    pub(super) fn contains_bytes(&self, path: &[u8]) -> bool {
        let order = |tracked: &TreePath| compare_by_components(tracked.as_bytes(), path);
        self.sorted.binary_search_by(order).is_ok()
    }

    /// As [`holds_below`](Self::holds_below), without building a path for every question.
    pub(super) fn holds_below_bytes(&self, directory: &[u8]) -> bool {
        let up_to = |path: &TreePath| compare_by_components(path.as_bytes(), directory).is_le();
        let next = self.sorted.get(self.sorted.partition_point(up_to));
        let rest = next.and_then(|path| path.as_bytes().strip_prefix(directory));
        rest.is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// The paths, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &TreePath> {
        self.sorted.iter()
    }
}

impl FromIterator<TreePath> for TrackedPaths {
    fn from_iter<I: IntoIterator<Item = TreePath>>(paths: I) -> Self {
        let mut sorted: Vec<TreePath> = paths.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self { sorted }
    }
}
