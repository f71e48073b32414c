//! Bounding the directory of a job by its quota group, where it can have one.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use handoff_sandbox::Subvolume;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::measure::Measured;
use crate::supervisor::disk_quota::{NoQuota, look};

/// What is said where there is no bound to be taken away.
const UNBOUND: [Errno; 3] = [Errno::PERM, Errno::NOTCONN, Errno::NOENT];

/// What the file system takes to keep one file, at most: its inode, two entries in its directory
/// with a long name, where its content is, in tree blocks that are half full.
const METADATA_BYTES: u64 = 1024;

/// A write of which less is left than this has failed or would: btrfs promises room for a piece of
/// a file at a time, of 512 pages.
const PIECE_BYTES: u64 = 2 << 20;

/// The quota group of a job, with a limit.
#[derive(Debug)]
pub(super) struct Quota {
    subvolume: Subvolume,
    limit_bytes: u64,
    slack_bytes: u64,
    /// By so much the limit may be more than what the job may write.
    pub(super) spare_bytes: u64,
}

impl Quota {
    /// Lets a job write so many bytes to its directory, beside what is there, which was `found` and
    /// may be in memory still, so that the group does not count it yet.
    ///
    /// # Errors
    ///
    /// Fails with the reason if it cannot be bounded.
    pub(super) fn set(
        writable: &Path,
        owner: u32,
        found: Measured,
        bytes: u64,
    ) -> Result<Self, NoQuota> {
        let directory = open(writable, owner)?;
        look(&directory)?;
        let subvolume = Subvolume::of(directory)?.ok_or(NoQuota::NoSubvolume)?;
        let spare_bytes = found.files.saturating_mul(METADATA_BYTES);
        let limit_bytes = bytes.saturating_add(found.bytes).saturating_add(spare_bytes);
        subvolume.limit(limit_bytes).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => NoQuota::NotRoot,
            _ => error.into(),
        })?;
        let slack_bytes = PIECE_BYTES.min(bytes / 16);
        Ok(Self { subvolume, limit_bytes, slack_bytes, spare_bytes })
    }

    /// Whether so little is left that a write has failed or would.
    pub(super) fn is_reached(&self) -> bool {
        let used = self.subvolume.used();
        used.is_ok_and(|used| used.saturating_add(self.slack_bytes) >= self.limit_bytes)
    }
}

/// Takes the bound of a job's directory away, once nothing writes there any more: as long as it is
/// full, not even its owner could change the mode of what is to be removed.
pub(in crate::supervisor::process) fn lift(writable: &Path, owner: u32) -> io::Result<()> {
    let Some(subvolume) = Subvolume::of(open(writable, owner)?)? else { return Ok(()) };
    match subvolume.unlimit() {
        // There was none: not root, or no counts.
        Err(error) if UNBOUND.map(Some).contains(&Errno::from_io_error(&error)) => Ok(()),
        lifted => lifted,
    }
}

/// Opens the directory of a job. What is not the daemon's is not the daemon's to have bounded.
fn open(writable: &Path, owner: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let plainly = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let directory = openat2(CWD, writable, flags, Mode::empty(), plainly)?;
    match fstat(&directory)?.st_uid == owner {
        true => Ok(directory),
        false => Err(io::Error::other("the directory is somebody else's")),
    }
}
