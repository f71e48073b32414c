//! Giving files to a run whose uid is a subordinate id of the daemon's user, once the daemon has
//! written them, and taking them back. In between only the run itself, and a harvest with the same
//! uid, can do anything with them.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use handoff_sandbox::{Access, Refusal, Spec};

use super::error::WorkspaceError;
use super::layout::Layout;
use super::owner::Owner;
use super::remove::RemoveError;

/// Gives a run its home and what its steps may write, where that belongs to the daemon until then.
/// Blocks.
///
/// # Errors
///
/// When an owner cannot be changed.
pub fn give<'a>(
    layout: &Layout,
    steps: impl IntoIterator<Item = &'a Spec>,
    owner: Owner,
) -> Result<(), WorkspaceError> {
    let Owner::Given(uid) = owner else { return Ok(()) };
    // A home within the tree is shown for reading, by another mount than the tree.
    let mut places = vec![layout.home()];
    for mount in steps.into_iter().flat_map(|spec| &spec.mounts) {
        if mount.access == Access::ReadWrite && !places.contains(&mount.source) {
            places.push(mount.source.clone());
        }
    }
    let given = handoff_sandbox::give(&places, uid.get()).map_err(WorkspaceError::Owner)?;
    if given.left > 0 {
        tracing::warn!(
            "{} files in the caches of the run are not given to it: they have names elsewhere, or \
             belong to somebody else",
            given.left
        );
    }
    Ok(())
}

/// Takes back what was given to a run, so that the daemon may change or remove it. Costs nothing
/// where nothing was given. Blocks.
///
/// # Errors
///
/// When an owner cannot be changed.
pub fn take_back(layout: &Layout, owner: Owner) -> Result<(), WorkspaceError> {
    match owner {
        Owner::Given(_) => take(&[layout.workspace(), layout.home(), layout.agent()])
            .map_err(WorkspaceError::Owner),
        Owner::Own(_) | Owner::Daemon => Ok(()),
    }
}

/// Removes the directory of a run, whoever its files belong to. Blocks.
///
/// # Errors
///
/// When something cannot be taken back or removed; what was removed until then stays removed.
pub fn remove_run(layout: &Layout, owner: Owner) -> Result<(), RemoveError> {
    take_back(layout, owner).map_err(|error| RemoveError {
        directory: layout.run().to_owned(),
        source: io::Error::other(error),
    })?;
    layout.remove()
}

/// Takes these directories back, as far as they are not the daemon's.
pub(super) fn take(directories: &[PathBuf]) -> Result<(), Refusal> {
    let own = rustix::process::geteuid().as_raw();
    // The directory itself is given first and comes back last.
    let is_given = |directory: &&PathBuf| is_of_other(directory, own);
    let given: Vec<PathBuf> = directories.iter().filter(is_given).cloned().collect();
    if given.is_empty() {
        return Ok(());
    }
    handoff_sandbox::give(&given, own).map(drop)
}

fn is_of_other(directory: &Path, own: u32) -> bool {
    directory.symlink_metadata().is_ok_and(|meta| meta.uid() != own)
}
