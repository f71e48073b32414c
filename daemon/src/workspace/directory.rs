//! Makes and removes the directory of a run. What the run may write is in a directory of its own in
//! it: a subvolume where that can have a quota group, so that its supervisor can bound it hard.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use handoff_sandbox::{Quotas, Subvolume};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::error::WorkspaceError;
use super::layout::Layout;
use super::remove::{RemoveError, remove};

/// Owner only: what is beneath belongs to one user. Stage-0 gets in all the same, since it starts
/// out as the daemon's own user.
const PRIVATE: Mode = Mode::RWXU;

/// What can keep a run's room bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A quota group, where the file system has them: its supervisor is root.
    Quota,
    /// Only being watched.
    Watch,
}

impl Layout {
    /// Makes the run's directory, readable by nobody else: the one for its jobs if it is missing,
    /// and an empty one for what the run writes. What an earlier attempt left there is removed.
    ///
    /// # Errors
    ///
    /// When one of them cannot be made.
    pub fn create(&self, bound: Bound) -> Result<(), WorkspaceError> {
        let jobs = self.jobs();
        let mut builder = DirBuilder::new();
        builder.mode(PRIVATE.as_raw_mode()).recursive(true);
        builder.create(&jobs).map_err(WorkspaceError::make(jobs))?;
        let writable = self.writable();
        remove_writable(&writable)?;
        make(self.run(), &writable, bound).map_err(WorkspaceError::make(writable))
    }

    /// Removes the run's directory and all that is in it; one that does not exist is fine.
    ///
    /// # Errors
    ///
    /// When something cannot be removed; what was removed until then stays removed.
    pub fn remove(&self) -> Result<(), RemoveError> {
        remove_writable(&self.writable())?;
        remove(self.run())
    }
}

fn make(run: &Path, writable: &Path, bound: Bound) -> io::Result<()> {
    let parent = File::open(run)?;
    let counts = || matches!(Quotas::of(&parent), Ok(Quotas::On | Quotas::Inconsistent));
    // Where the file system cannot be asked, the supervisor cannot either, and says why.
    if bound == Bound::Quota && counts() {
        let name = writable.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        return Subvolume::create(&parent, name, PRIVATE);
    }
    DirBuilder::new().mode(PRIVATE.as_raw_mode()).create(writable)
}

fn remove_writable(writable: &Path) -> Result<(), RemoveError> {
    unbind(writable).map_err(|source| RemoveError { directory: writable.to_owned(), source })?;
    remove(writable)
}

/// Takes the quota group of what is a subvolume out of the way. Where the caller may not, a
/// supervisor has taken the bound away, and the kernel removes the group itself after the subvolume
/// has gone, or an empty one stays, which bounds nothing.
fn unbind(writable: &Path) -> io::Result<()> {
    match fs::symlink_metadata(writable) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(meta) if !meta.is_dir() => return Ok(()),
        Ok(_) => {}
    }
    let Some(subvolume) = Subvolume::of(File::open(writable)?.into())? else { return Ok(()) };
    let unbound = subvolume.unlimit().and_then(|()| subvolume.remove_group());
    match unbound.as_ref().map_err(Errno::from_io_error) {
        // Without quotas, or without the right, there is nothing to be done.
        Err(Some(Errno::PERM | Errno::NOTCONN | Errno::NOENT)) => Ok(()),
        Ok(()) | Err(_) => unbound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::JobKind;

    #[test]
    fn what_an_earlier_attempt_left_is_gone_and_jobs_stay() {
        let top = tempfile::tempdir().expect("directory");
        let layout = Layout::new(top.path().join("run"));
        for bound in [Bound::Watch, Bound::Quota] {
            layout.create(bound).expect("made");
            assert!(layout.writable().read_dir().expect("list").next().is_none());
            fs::create_dir_all(layout.workspace().join("left")).expect("directory");
            fs::create_dir_all(layout.job(1, JobKind::Command)).expect("directory");
        }
        layout.create(Bound::Watch).expect("made");
        assert!(layout.job(1, JobKind::Command).is_dir() && !layout.workspace().exists());
        layout.remove().expect("removed");
        assert!(!layout.run().exists());
        layout.remove().expect("gone already is fine");
    }
}
