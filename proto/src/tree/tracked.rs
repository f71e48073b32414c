//! What the caller, who may run git, says about a repository.

use std::ops::Range;

use crate::path::TreePath;

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
///
/// One buffer holds all of them, most often git's own index as it was read: a large repository
/// costs one allocation, not one for each path.
#[derive(Clone, Debug, Default)]
pub struct TrackedPaths {
    bytes: Vec<u8>,
    /// Where each path is in `bytes`; sorted by plain bytes as git sorts them, so that what a
    /// directory holds is contiguous.
    spans: Vec<Range<usize>>,
}

impl TrackedPaths {
    /// The paths that lie in `bytes` at these places, which are within its bounds; in any order,
    /// though git's own costs least.
    #[must_use]
    pub fn from_spans(bytes: Vec<u8>, mut spans: Vec<Range<usize>>) -> Self {
        spans.retain(|span| bytes.get(span.clone()).is_some());
        if !spans.is_sorted_by(|a, b| bytes[a.clone()] <= bytes[b.clone()]) {
            spans.sort_unstable_by(|a, b| bytes[a.clone()].cmp(&bytes[b.clone()]));
        }
        Self { bytes, spans }
    }

    /// Whether exactly this path is in the set.
    #[must_use]
    pub fn contains(&self, path: &TreePath) -> bool {
        self.find(self.all(), path.as_bytes(), 0).is_some()
    }

    /// Whether anything beneath this directory is in the set.
    #[must_use]
    pub fn holds_below(&self, directory: &TreePath) -> bool {
        !self.below(self.all(), directory.as_bytes()).is_empty()
    }

    /// Everything, as the root of the repository holds it.
    pub(super) fn all(&self) -> Beneath {
        Beneath { first: 0, end: self.spans.len(), prefix_len: 0 }
    }

    /// The place of this relative path in the set beneath a directory; a guess that is right saves
    /// the search.
    pub(super) fn find(&self, at: Beneath, relative: &[u8], guess: usize) -> Option<usize> {
        let spans = &self.spans[at.first..at.end];
        let path = |span: &Range<usize>| &self.bytes[span.clone()][at.prefix_len..];
        if spans.get(guess).is_some_and(|span| path(span) == relative) {
            return Some(guess);
        }
        spans.binary_search_by(|span| path(span).cmp(relative)).ok()
    }

    /// What a directory holds that is itself beneath one.
    pub(super) fn below(&self, at: Beneath, directory: &[u8]) -> Beneath {
        let place = |span: &Range<usize>| {
            let path = &self.bytes[span.clone()][at.prefix_len..];
            let start = &path[..path.len().min(directory.len())];
            start.cmp(directory).then_with(|| path.get(directory.len()).cmp(&Some(&b'/')))
        };
        let spans = &self.spans[at.first..at.end];
        let first = spans.partition_point(|span| place(span).is_lt());
        let len = spans[first..].partition_point(|span| place(span).is_eq());
        let first = at.first + first;
        Beneath { first, end: first + len, prefix_len: at.prefix_len + directory.len() + 1 }
    }

    /// The paths in git's order; one with conflicting stages may come several times.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.spans.iter().map(|span| &self.bytes[span.clone()])
    }
}

/// The part of a set that lies beneath one directory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beneath {
    first: usize,
    end: usize,
    /// The length of the directory's path with the slash after it, which all these paths share.
    prefix_len: usize,
}

impl Beneath {
    pub(super) fn is_empty(self) -> bool {
        self.first == self.end
    }
}

impl FromIterator<TreePath> for TrackedPaths {
    fn from_iter<I: IntoIterator<Item = TreePath>>(paths: I) -> Self {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for path in paths {
            let start = bytes.len();
            bytes.extend_from_slice(path.as_bytes());
            spans.push(start..bytes.len());
        }
        Self::from_spans(bytes, spans)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_directory_holds_what_is_beneath_it(
            paths in proptest::collection::vec("[a.]{1,2}b(/[-a.]{1,2}b){0,3}", 0..40),
            asked in "[a.]{1,2}b(/[-a.]{1,2}b){0,2}",
        ) {
            let paths: BTreeSet<TreePath> = paths.iter().map(|path| path.parse().unwrap()).collect();
            let tracked: TrackedPaths = paths.iter().cloned().collect();
            let asked: TreePath = asked.parse().unwrap();
            prop_assert_eq!(tracked.contains(&asked), paths.contains(&asked));
            let below = |path: &TreePath| path.strip_prefix(&asked);
            prop_assert_eq!(tracked.holds_below(&asked), paths.iter().any(|path| below(path).is_some()));
            let inside = tracked.below(tracked.all(), asked.as_bytes());
            for path in &paths {
                if let Some(relative) = below(path) {
                    for guess in 0..paths.len() {
                        let found = tracked.find(inside, relative.as_bytes(), guess);
                        let at = tracked.iter().position(|tracked| tracked == path.as_bytes());
                        prop_assert_eq!(found.map(|found| inside.first + found), at);
                    }
                }
            }
        }
    }
}
