//! What differs between two trees.

use std::cmp::Ordering;

use crate::path::TreePath;

use super::entry::Entry;

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: TreePath,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Only the second tree has it.
    Added,
    /// Only the first tree has it.
    Removed,
    /// Both have it with another kind, mode or content.
    Modified,
}

/// Lists the paths whose kind, mode or content differ, sorted; times do not count.
///
/// Both lists must be sorted by path, as those of any valid manifest are. A directory's content is
/// not the directory's: what is in an added directory is listed path by path.
#[must_use]
pub fn differences(before: &[Entry], after: &[Entry]) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut push = |entry: &Entry, kind| {
        changes.push(Change { path: entry.path.clone(), kind });
    };
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
        };
        match order {
            Ordering::Less => old.by_ref().take(1).for_each(|e| push(e, ChangeKind::Removed)),
            Ordering::Greater => new.by_ref().take(1).for_each(|e| push(e, ChangeKind::Added)),
            Ordering::Equal => {
                if let (Some(old), Some(new)) = (old.next(), new.next())
                    && (old.mode != new.mode || old.kind != new.kind)
                {
                    push(new, ChangeKind::Modified);
                }
            }
        }
    }
    changes
}
