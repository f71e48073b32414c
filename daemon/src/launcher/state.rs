//! The state directory of the daemon, from root's side: whose it is, and the jobs in it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use handoff_proto::run::RunId;
use handoff_sandbox::HostUser;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::place;
use crate::supervisor::{JobDir, Rights};
use crate::workspace::{JobKind, Layout};

/// An open state directory.
#[derive(Debug)]
pub(super) struct State {
    directory: OwnedFd,
    /// Its real path.
    pub(super) path: PathBuf,
    /// Whose it is: the daemon's user.
    pub(super) user: HostUser,
}

impl State {
    /// Opens the directory.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be opened, is root's own or is open to others, or if somebody but root
    /// decides what is found at its path.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        place::check_above(&path)?;
        let directory = open_plainly(CWD, &path, ResolveFlags::empty())?;
        let stat = fstat(&directory)?;
        let refuse = |why: &str| {
            let text = format!("the state directory {} {why}", path.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        };
        if stat.st_uid == 0 {
            return refuse("is root's: a daemon that is root needs no launcher");
        }
        // What runs leave in it may bear any mode.
        if Mode::from_raw_mode(stat.st_mode).intersects(Mode::RWXG | Mode::RWXO) {
            return refuse("is open to others: `chmod 700` it");
        }
        let user = HostUser { uid: stat.st_uid, gid: stat.st_gid };
        Ok(Self { directory, path, user })
    }

    /// Opens the directory of a job, which is the daemon's own, as the daemon.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be opened without following links, or is somebody else's.
    pub(super) fn job(&self, run: &RunId, kind: JobKind, number: u32) -> io::Result<JobDir> {
        let rights = Rights::Of(self.user);
        let relative = Layout::of_runs(Path::new("")).join(run.as_str());
        let relative = Layout::new(relative).job(number, kind);
        let directory =
            rights.exercise(|| open_plainly(&self.directory, &relative, ResolveFlags::BENEATH))?;
        if fstat(&directory)?.st_uid != self.user.uid {
            let text = format!("{} is somebody else's", relative.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(JobDir::with_rights(directory, rights))
    }
}

fn open_plainly(
    from: impl std::os::fd::AsFd,
    path: &Path,
    how: ResolveFlags,
) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let how = how | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(from, path, flags, Mode::empty(), how)?)
}
