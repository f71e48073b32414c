//! One process per store: a lock that the kernel gives up with the process, however it ends.
//!
//! A record lock, since a child that was just forked would share a `flock` and, for the moment
//! until it executes its program, keep it from the next daemon. Record locks have two traps, both
//! closed here: within one process they do not exclude, hence the list of open stores; and closing
//! any descriptor of the file gives them up, hence nobody else opens it.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
};

use crate::store::StoreError;

/// The stores that this process has open.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The lock, held while it lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: Option<File>,
    directory: PathBuf,
}

/// Returns when no process has the store of this directory open. May block for long; not for
/// the process that has it open.
///
/// # Errors
/// When the lock cannot be looked at.
pub fn wait_until_closed(directory: &Path) -> Result<(), StoreError> {
    let path = directory.join("lock");
    // Shared, so that several may wait; given up at once.
    File::open(&path)
        .and_then(|file| Ok(fcntl_lock(&file, FlockOperation::LockShared)?))
        .map_err(|source| StoreError::Io { act: "wait for", path, source })
}

impl Lock {
    /// Takes the lock of a store.
    pub(super) fn acquire(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("lock");
        let io = |act, source| StoreError::Io { act, path: path.clone(), source };
        let in_use = || StoreError::InUse { directory: directory.to_owned() };
        let real = fs::canonicalize(directory).map_err(|source| io("find", source))?;
        if !open_stores().insert(real.clone()) {
            return Err(in_use());
        }
        // From here on dropping it takes the store off the list.
        let mut lock = Self { file: None, directory: real };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| io("open", source))?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                lock.file = Some(file);
                Ok(lock)
            }
            Err(Errno::AGAIN | Errno::ACCESS) => Err(in_use()),
            Err(errno) => Err(io("lock", errno.into())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file first: whoever finds the store off the list must be able to lock it.
        drop(self.file.take());
        open_stores().remove(&self.directory);
    }
}

fn open_stores() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}
