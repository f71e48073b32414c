//! Looks at what lies on the disk beside the captured tree.
//!
//! Only reads, and never through a symbolic link.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use handoff_proto::manifest::{RefName, SnapshotManifest};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, MetaKind, lstat};

use super::plan::{Occupant, Surroundings};
use super::strangers::find_stranger;

/// The disk around a captured tree.
#[derive(Debug)]
pub struct Survey<'a> {
    root: &'a OwnedFd,
    local: &'a SnapshotManifest,
    checked_out: BTreeMap<Option<TreePath>, Vec<RefName>>,
}

impl<'a> Survey<'a> {
    /// Surveys the tree that `local` was captured from. `checked_out` are the branches that other
    /// worktrees of each repository have checked out.
    #[must_use]
    pub fn new(
        root: &'a OwnedFd,
        local: &'a SnapshotManifest,
        checked_out: BTreeMap<Option<TreePath>, Vec<RefName>>,
    ) -> Self {
        Self { root, local, checked_out }
    }
}

impl Surroundings for Survey<'_> {
    fn occupant(&self, path: &TreePath) -> io::Result<Option<Occupant>> {
        match lstat(self.root.as_fd(), path) {
            Ok(None) => Ok(None),
            Ok(Some(meta)) if meta.kind == MetaKind::Directory => Ok(Some(Occupant::Directory)),
            Ok(Some(_)) => Ok(Some(Occupant::Other)),
            // Nothing is beneath a link; whether that one is in the way is asked by itself.
            Err(FileError::Indirect { .. }) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn uncaptured_beneath(&self, directory: &TreePath) -> io::Result<Option<TreePath>> {
        let captured =
            |path: &TreePath| !path.has_git_component() && self.local.entry(path).is_some();
        find_stranger(self.root.as_fd(), directory, &captured)
    }

    fn checked_out_elsewhere(&self, repository: Option<&TreePath>) -> &[RefName] {
        self.checked_out.get(&repository.cloned()).map_or(&[], Vec::as_slice)
    }
}
