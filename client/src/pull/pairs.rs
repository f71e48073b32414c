//! Walks two sorted trees side by side and yields what differs.
//!
//! Pure. Kinds, permission bits and contents count, times do not.

use std::cmp::Ordering;
use std::iter::Peekable;

use handoff_proto::manifest::{ChangeKind, Entry};
use handoff_proto::path::TreePath;

/// A path that differs between two trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair<'a> {
    /// Only the second tree has it.
    Added(&'a Entry),
    /// Only the first tree has it.
    Removed(&'a Entry),
    /// Both have it: as it was and as it is.
    Modified(&'a Entry, &'a Entry),
}

impl<'a> Pair<'a> {
    /// The path that differs.
    #[must_use]
    pub fn path(&self) -> &'a TreePath {
        match self {
            Self::Added(entry) | Self::Removed(entry) | Self::Modified(_, entry) => &entry.path,
        }
    }

    /// What the first tree has.
    #[must_use]
    pub fn before(&self) -> Option<&'a Entry> {
        match self {
            Self::Added(_) => None,
            Self::Removed(entry) | Self::Modified(entry, _) => Some(entry),
        }
    }

    /// What the second tree has.
    #[must_use]
    pub fn after(&self) -> Option<&'a Entry> {
        match self {
            Self::Removed(_) => None,
            Self::Added(entry) | Self::Modified(_, entry) => Some(entry),
        }
    }

    /// How it differs.
    #[must_use]
    pub fn change_kind(&self) -> ChangeKind {
        match self {
            Self::Added(_) => ChangeKind::Added,
            Self::Removed(_) => ChangeKind::Removed,
            Self::Modified(..) => ChangeKind::Modified,
        }
    }
}

/// What a tree holds beside git directories: all that a result may speak about.
pub fn outside_git(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| !entry.path.has_git_component())
}

/// Yields what differs, sorted by path. Both sides must be sorted by path themselves.
pub fn pairs<'a>(
    before: impl Iterator<Item = &'a Entry>,
    after: impl Iterator<Item = &'a Entry>,
) -> impl Iterator<Item = Pair<'a>> {
    let (mut before, mut after) = (before.peekable(), after.peekable());
    std::iter::from_fn(move || {
        loop {
            match next(&mut before, &mut after)? {
                Pair::Modified(old, new) if old.mode == new.mode && old.kind == new.kind => {}
                pair => return Some(pair),
            }
        }
    })
}

fn next<'a>(
    before: &mut Peekable<impl Iterator<Item = &'a Entry>>,
    after: &mut Peekable<impl Iterator<Item = &'a Entry>>,
) -> Option<Pair<'a>> {
    let order = match (before.peek(), after.peek()) {
        (Some(old), Some(new)) => old.path.cmp(&new.path),
        (Some(_), None) => Ordering::Less,
        (None, _) => Ordering::Greater,
    };
    match order {
        Ordering::Less => before.next().map(Pair::Removed),
        Ordering::Greater => after.next().map(Pair::Added),
        Ordering::Equal => {
            before.next().zip(after.next()).map(|(old, new)| Pair::Modified(old, new))
        }
    }
}
