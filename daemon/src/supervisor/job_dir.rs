//! The directory of one job: its files, and who may touch them when. Knows no processes.
//!
//! - `lock` is held for as long as a supervisor lives; that, and never a process id, says that it
//!   does.
//! - The directory itself is locked while a supervisor starts up, and shortly by who wants to know
//!   whether one lives, so that nobody ever sees one half started.
//! - `spawned` is made once, before the first process: a job never runs twice.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The job, as the daemon describes it.
pub(super) const JOB: &str = "job.json";
/// What holds the command in, once it runs.
pub(super) const STARTED: &str = "started.json";
/// How the job ended.
pub(super) const EXIT: &str = "exit.json";
/// The output of the commands.
pub(super) const OUTPUT: &str = "output";
/// What the supervisor complains about.
pub(super) const LOG: &str = "supervisor.log";

const LOCK: &str = "lock";
const SPAWNED: &str = "spawned";
const SOCKET: &str = "supervisor.sock";

/// Longest description that is read: room for a large environment.
const JSON_LEN_MAX: u64 = 16 * 1024 * 1024;

/// An open job directory.
#[derive(Debug)]
pub(super) struct JobDir {
    directory: OwnedFd,
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(OwnedFd);

/// Tells whether the marker was made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// Yes: the job has never run.
    Now,
    /// No, it was there.
    Before,
}

impl JobDir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Tells the uid to which the directory belongs.
    pub(super) fn owner(&self) -> io::Result<u32> {
        Ok(rustix::fs::fstat(&self.directory)?.st_uid)
    }

    /// Returns a path of the socket that is short enough for any directory; it is good for as long
    /// as `self` lives.
    pub(super) fn socket_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/{SOCKET}", self.directory.as_raw_fd()).into()
    }

    /// Waits until no supervisor is starting up and keeps others from starting.
    pub(super) fn gate(&self, operation: FlockOperation) -> io::Result<Lock> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let gate = openat(&self.directory, ".", flags, Mode::empty())?;
        rustix::io::retry_on_intr(|| flock(&gate, operation))?;
        Ok(Lock(gate))
    }

    /// Takes the lock of the living; none if somebody has it.
    pub(super) fn try_lock(&self, operation: FlockOperation) -> io::Result<Option<Lock>> {
        let lock = self.open_lock()?;
        match rustix::io::retry_on_intr(|| flock(&lock, operation)) {
            Ok(()) => Ok(Some(Lock(lock))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until nobody holds the lock of the living.
    pub(super) fn wait_for_lock(&self) -> io::Result<Lock> {
        let lock = self.open_lock()?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockShared))?;
        Ok(Lock(lock))
    }

    /// Makes the marker durable.
    pub(super) fn mark_spawned(&self) -> io::Result<Marked> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match openat(&self.directory, SPAWNED, flags, private()) {
            Ok(marker) => fsync(&marker)?,
            Err(Errno::EXIST) => return Ok(Marked::Before),
            Err(error) => return Err(error.into()),
        }
        fsync(&self.directory)?;
        Ok(Marked::Now)
    }

    /// Tells whether the marker is there.
    pub(super) fn is_spawned(&self) -> io::Result<bool> {
        match rustix::fs::statat(&self.directory, SPAWNED, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the socket that a supervisor left behind.
    pub(super) fn remove_socket(&self) -> io::Result<()> {
        match unlinkat(&self.directory, SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets only the owner connect to the socket.
    pub(super) fn protect_socket(&self) -> io::Result<()> {
        Ok(rustix::fs::chmodat(&self.directory, SOCKET, private(), AtFlags::empty())?)
    }

    /// Makes a file that is empty and open for writing at its end.
    pub(super) fn create_file(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND | OFlags::CLOEXEC;
        Ok(openat(&self.directory, name, flags, private())?.into())
    }

    /// Opens a file for appending.
    pub(super) fn append_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        Ok(openat(&self.directory, name, flags, private())?.into())
    }

    /// Reads a description; none if there is no such file.
    pub(super) fn read_json<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        file.take(JSON_LEN_MAX).read_to_end(&mut bytes)?;
        Ok(Some(serde_json::from_slice(&bytes)?))
    }

    /// Writes a description so that it is there wholly or not at all, and for good.
    pub(super) fn write_json(&self, name: &str, description: &impl Serialize) -> io::Result<()> {
        let new = format!("{name}.new");
        let mut file = self.create_file(&new)?;
        file.write_all(&serde_json::to_vec(description)?)?;
        file.sync_all()?;
        renameat(&self.directory, &new, &self.directory, name)?;
        fsync(&self.directory)?;
        Ok(())
    }

    fn open_lock(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        Ok(openat(&self.directory, LOCK, flags, private())?)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A child between fork and exec still has the descriptor: closing alone might not unlock.
        // There is nothing to be done about a failure; the descriptor is closed next.
        let _unlocked = flock(&self.0, FlockOperation::Unlock);
    }
}

fn private() -> Mode {
    Mode::RUSR | Mode::WUSR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job_dir() -> (tempfile::TempDir, JobDir) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let opened = JobDir::open(directory.path()).expect("open");
        (directory, opened)
    }

    #[test]
    fn the_marker_is_made_once() {
        let (_keep, job_dir) = job_dir();
        assert!(!job_dir.is_spawned().expect("look"));
        assert_eq!(job_dir.mark_spawned().expect("mark"), Marked::Now);
        assert_eq!(job_dir.mark_spawned().expect("mark"), Marked::Before);
        assert!(job_dir.is_spawned().expect("look"));
    }

    #[test]
    fn the_lock_has_one_holder_until_it_is_dropped() {
        let (_keep, job_dir) = job_dir();
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        let held = job_dir.try_lock(exclusive).expect("lock").expect("free");
        assert!(job_dir.try_lock(exclusive).expect("lock").is_none());
        let shared = FlockOperation::NonBlockingLockShared;
        assert!(job_dir.try_lock(shared).expect("lock").is_none());
        drop(held);
        assert!(job_dir.try_lock(exclusive).expect("lock").is_some());
    }

    #[test]
    fn a_description_is_replaced_as_a_whole() {
        let (keep, job_dir) = job_dir();
        assert_eq!(job_dir.read_json::<u32>(EXIT).expect("read"), None);
        job_dir.write_json(EXIT, &1).expect("write");
        job_dir.write_json(EXIT, &2).expect("write");
        assert_eq!(job_dir.read_json::<u32>(EXIT).expect("read"), Some(2));
        let names: Vec<_> = std::fs::read_dir(keep.path())
            .expect("list")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        assert_eq!(names, [EXIT]);
    }
}
