//! From two manifests to what a layer on top of the older tree has to hold. Pure.

use std::collections::{BTreeMap, HashSet};

use handoff_proto::manifest::{Entry, Kind, SnapshotManifest};
use handoff_proto::path::TreePath;

/// What turns one tree into another, each thing at most once.
#[derive(Debug, Default)]
pub(super) struct Layer<'a> {
    /// Parents before what is in them: those that changed and those on the way to a change.
    pub(super) directories: BTreeMap<&'a TreePath, (&'a Entry, Below)>,
    pub(super) files: Vec<&'a Entry>,
    pub(super) symlinks: Vec<&'a Entry>,
    /// What is no longer there; everything beneath goes with it.
    pub(super) removed: Vec<&'a TreePath>,
}

/// What a directory of a layer does with what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// Shows it too.
    Merged,
    /// Hides it: there was no directory before.
    Hidden,
}

impl<'a> Layer<'a> {
    /// Compares two trees whose entries are sorted, as those of every valid manifest are. What the
    /// older one has `lost` counts as changed, and with it the directories on the way: the loss
    /// shows in their times.
    pub(super) fn between(
        old: &'a SnapshotManifest,
        lost: &HashSet<TreePath>,
        new: &'a SnapshotManifest,
    ) -> Self {
        let mut layer = Self::default();
        let (mut before, mut after) =
            (old.entries.iter().peekable(), new.entries.iter().peekable());
        // The last thing that hides all that the older tree has beneath it.
        let mut gone: Option<&TreePath> = None;
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(old), Some(new)) => old.path.cmp(&new.path),
            };
            let was = if order.is_le() { before.next() } else { None };
            let is = if order.is_ge() { after.next() } else { None };
            match (was, is) {
                (Some(was), None) if gone.is_some_and(|gone| was.path.starts_with(gone)) => {}
                (Some(was), None) => {
                    layer.removed.push(&was.path);
                    gone = Some(&was.path);
                }
                (was, Some(is)) => {
                    let was_directory = was.is_some_and(Entry::is_directory);
                    if was_directory && !is.is_directory() {
                        gone = Some(&is.path);
                    }
                    if was != Some(is) || lost.contains(&is.path) {
                        let below = if was_directory { Below::Merged } else { Below::Hidden };
                        layer.put(is, below);
                    }
                }
                (None, None) => break,
            }
        }
        layer.add_parents(new);
        layer
    }

    /// Bytes of all its files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size()).sum()
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.directories.len() + self.files.len() + self.symlinks.len() + self.removed.len()
    }

    fn put(&mut self, entry: &'a Entry, below: Below) {
        match entry.kind {
            Kind::Directory => {
                self.directories.insert(&entry.path, (entry, below));
            }
            Kind::File { .. } => self.files.push(entry),
            Kind::Symlink { .. } => self.symlinks.push(entry),
        }
    }

    /// Adds the directories on the way to each change; both trees have them.
    fn add_parents(&mut self, new: &'a SnapshotManifest) {
        let changed = self.files.iter().chain(&self.symlinks).map(|entry| &entry.path);
        let paths: Vec<&TreePath> = changed
            .chain(self.removed.iter().copied())
            .chain(self.directories.keys().copied())
            .collect();
        for path in paths {
            let mut parent = path.parent();
            while let Some(entry) = parent.as_ref().and_then(|parent| new.entry(parent)) {
                if self.directories.contains_key(&entry.path) {
                    break;
                }
                self.directories.insert(&entry.path, (entry, Below::Merged));
                parent = entry.path.parent();
            }
        }
    }
}
