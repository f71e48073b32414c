//! The directory of one job: its files, and who may touch them when. Knows no processes.
//!
//! - `lock` is held for as long as a supervisor lives; that, and never a process id, says that it
//!   does.
//! - The directory itself is locked while a supervisor starts up, and shortly by who wants to know
//!   whether one lives, so that nobody ever sees one half started.
//! - `spawned` is made once, before the first process: a job never runs twice.
//!
//! A supervisor that is root works in the directory of an ordinary user, who may put anything
//! there at any time. It therefore touches the directory with that user's rights only, follows no
//! link and takes only files that have one name.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, fsync, openat, renameat,
    unlinkat,
};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rights::Rights;

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
pub(crate) struct JobDir {
    directory: OwnedFd,
    rights: Rights,
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
        let directory = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { directory, rights: Rights::Own })
    }

    /// Takes an open directory over, to be touched with these rights.
    pub(crate) const fn with_rights(directory: OwnedFd, rights: Rights) -> Self {
        Self { directory, rights }
    }

    /// Returns the rights that the directory is touched with.
    pub(super) const fn rights(&self) -> Rights {
        self.rights
    }

    /// Returns a path of the socket that is short enough for any directory; it is good for as long
    /// as `self` lives.
    pub(super) fn socket_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/{SOCKET}", self.directory.as_raw_fd()).into()
    }

    /// Waits until no supervisor is starting up and keeps others from starting.
    pub(super) fn gate(&self, operation: FlockOperation) -> io::Result<Lock> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let gate =
            self.rights.exercise(|| Ok(openat(&self.directory, ".", flags, Mode::empty())?))?;
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
        match self.open_file(SPAWNED, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL) {
            Ok(marker) => marker.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Marked::Before);
            }
            Err(error) => return Err(error),
        }
        fsync(&self.directory)?;
        Ok(Marked::Now)
    }

    /// Tells whether the marker is there.
    pub(super) fn is_spawned(&self) -> io::Result<bool> {
        self.rights.exercise(|| {
            match rustix::fs::statat(&self.directory, SPAWNED, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(true),
                Err(Errno::NOENT) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Removes the socket that a supervisor left behind.
    pub(super) fn remove_socket(&self) -> io::Result<()> {
        self.rights.exercise(|| match unlinkat(&self.directory, SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }

    /// Makes the socket, for its owner to connect to.
    pub(super) fn bind_socket(&self) -> io::Result<UnixListener> {
        self.rights.exercise(|| {
            let listener = UnixListener::bind(self.socket_path())?;
            rustix::fs::chmodat(&self.directory, SOCKET, private(), AtFlags::empty())?;
            Ok(listener)
        })
    }

    /// Makes a file that is empty and open for writing at its end.
    pub(super) fn create_file(&self, name: &str) -> io::Result<File> {
        let file = self.append_file(name)?;
        // Not by a flag of open: what is not ours must not be emptied before it is looked at.
        file.set_len(0)?;
        Ok(file)
    }

    /// Opens a file for appending.
    pub(super) fn append_file(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND)
    }

    /// Reads a description; none if there is no such file.
    pub(super) fn read_json<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let file = match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
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
        self.rights.exercise(|| Ok(renameat(&self.directory, &new, &self.directory, name)?))?;
        fsync(&self.directory)?;
        Ok(())
    }

    fn open_lock(&self) -> io::Result<OwnedFd> {
        Ok(self.open_file(LOCK, OFlags::RDWR | OFlags::CREATE)?.into())
    }

    /// Opens a file of the directory, never what a link leads to, and never one that has another
    /// name elsewhere. Does not wait, as a pipe in its place would have it.
    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = self.rights.exercise(|| Ok(openat(&self.directory, name, flags, private())?))?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
            return Err(io::Error::other(format!("{name} is no file of this job alone")));
        }
        Ok(file.into())
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
    fn neither_links_nor_other_names_nor_pipes_are_taken_for_a_file() {
        let (keep, job_dir) = job_dir();
        let outside = tempfile::tempdir().expect("temporary directory");
        let canary = outside.path().join("canary");
        std::fs::write(&canary, "alive").expect("write");
        job_dir.create_file(OUTPUT).expect("an ordinary file");
        for plant in [
            |from: &Path, to: &Path| std::os::unix::fs::symlink(from, to),
            |from: &Path, to: &Path| std::fs::hard_link(from, to),
            |_: &Path, to: &Path| {
                let mode = Mode::RUSR | Mode::WUSR;
                Ok(rustix::fs::mknodat(rustix::fs::CWD, to, FileType::Fifo, mode, 0)?)
            },
        ] {
            std::fs::remove_file(keep.path().join(OUTPUT)).expect("remove");
            plant(&canary, &keep.path().join(OUTPUT)).expect("plant");
            job_dir.create_file(OUTPUT).expect_err("create");
            job_dir.append_file(OUTPUT).expect_err("append");
            job_dir.read_json::<u32>(OUTPUT).expect_err("read");
        }
        assert_eq!(std::fs::read(&canary).expect("read"), b"alive");
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
