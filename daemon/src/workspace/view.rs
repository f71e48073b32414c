//! How a run sees its tree: as files of its own, or as its changes on top of trees that all share.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use handoff_proto::path::AbsolutePath;
use handoff_sandbox::{Access, Overlay};

use super::error::WorkspaceError;
use super::layout::Layout;
use super::owner::Owner;
use super::remove::remove;
use super::trees::Tree;

/// What a run's tree is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// Files of its own in the run's directory.
    Copy,
    /// The run's changes on top of a shared tree.
    Overlay(Tree),
}

impl View {
    /// Gives a run an empty set of changes on top of a tree. What an earlier attempt left is
    /// removed.
    ///
    /// # Errors
    ///
    /// When the directories cannot be made.
    pub fn fresh(layout: &Layout, tree: Tree, owner: Owner) -> Result<Self, WorkspaceError> {
        let changes = layout.changes();
        remove(&changes)?;
        let upper = changes.join(Overlay::UPPER);
        let make = || {
            let mut private = DirBuilder::new();
            private.mode(0o700);
            for directory in [&changes, &changes.join(Overlay::WORK), &upper] {
                private.create(directory)?;
            }
            // The upper layer's root is what the run sees as the root.
            let lower = tree.lowers.first().ok_or(io::ErrorKind::NotFound)?.metadata()?;
            if let Some(uid) = owner.of_new() {
                chown(&upper, Some(uid), Some(uid))?;
            }
            let top = File::open(&upper)?;
            top.set_permissions(lower.permissions())?;
            top.set_modified(lower.modified()?)
        };
        make().map_err(WorkspaceError::make(&changes))?;
        Ok(Self::Overlay(tree))
    }

    /// The overlay to show at `root`, if it is one.
    pub(crate) fn overlay(
        &self,
        layout: &Layout,
        root: &AbsolutePath,
        access: Access,
    ) -> io::Result<Option<Overlay>> {
        let Self::Overlay(tree) = self else { return Ok(None) };
        let lowers = tree.lowers.iter().map(fs::canonicalize).collect::<io::Result<_>>()?;
        let (changes, target) = (layout.changes(), root.as_os_path().to_owned());
        Ok(Some(Overlay { lowers, changes, target, access }))
    }

    /// Whether the tree, before the run's first step, has more at a path than what it takes to
    /// mount something on it.
    pub(super) fn has_something_at(&self, layout: &Layout, path: &Path) -> bool {
        let workspace = [layout.workspace()];
        let layers: &[PathBuf] = match self {
            Self::Copy => &workspace,
            Self::Overlay(tree) => &tree.lowers,
        };
        let mut hidden: HashSet<OsString> = HashSet::new();
        for layer in layers {
            let Ok(meta) = layer.join(path).symlink_metadata() else { continue };
            if is_whiteout(&meta) {
                return false;
            }
            if !meta.is_dir() {
                return !meta.is_file() || meta.len() > 0;
            }
            let entries = fs::read_dir(layer.join(path)).into_iter().flatten().flatten();
            for entry in entries {
                if !entry.metadata().is_ok_and(|meta| is_whiteout(&meta)) {
                    if !hidden.contains(&entry.file_name()) {
                        return true;
                    }
                } else {
                    hidden.insert(entry.file_name());
                }
            }
        }
        false
    }
}

fn is_whiteout(meta: &fs::Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}
