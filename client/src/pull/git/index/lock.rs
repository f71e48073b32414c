//! Swaps an index in under git's own lock.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::pull::git::{Git, GitError, at};

/// git's lock on an index, held with the new content in it. Dropped, the index stays as it was.
#[derive(Debug)]
pub struct IndexLock {
    lock: PathBuf,
    index: PathBuf,
    swapped: bool,
}

impl Git {
    /// Takes git's lock and puts the content of `new` in it, or nothing where there is no such file.
    ///
    /// # Errors
    ///
    /// Where another process holds the lock, or the index is not what `old` holds any more.
    pub fn lock_index(&self, old: Option<&Path>, new: &Path) -> Result<IndexLock, GitError> {
        let index = self.index.clone();
        let lock = lock_of(&index);
        let mode = fs::metadata(&index).map_or(0o644, |found| found.permissions().mode() & 0o777);
        let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(&lock);
        let mut file = match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(GitError::IndexLocked(lock));
            }
            created => created.map_err(at(&lock))?,
        };
        let held = IndexLock { lock: lock.clone(), index: index.clone(), swapped: false };
        if let Some(old) = old
            && !self.has_index(old)?
        {
            return Err(GitError::IndexChanged(index));
        }
        let content = read_if_there(new)?.unwrap_or_default();
        file.write_all(&content).and_then(|()| file.sync_all()).map_err(at(&lock))?;
        Ok(held)
    }

    /// Removes a lock that a pull left behind when it died: one that holds what it would write.
    ///
    /// # Errors
    ///
    /// Where the lock cannot be read or removed.
    pub fn break_stale_index_lock(&self, contents: &[PathBuf]) -> Result<(), GitError> {
        let lock = lock_of(&self.index);
        let Some(held) = read_if_there(&lock)? else { return Ok(()) };
        for content in contents {
            if read_if_there(content)?.is_some_and(|content| content.starts_with(&held)) {
                return fs::remove_file(&lock).map_err(at(&lock));
            }
        }
        Ok(())
    }
}

impl IndexLock {
    /// Makes the new index the one in use.
    ///
    /// # Errors
    ///
    /// Where it cannot be renamed.
    pub fn swap(mut self) -> Result<(), GitError> {
        let empty = fs::metadata(&self.lock).is_ok_and(|found| found.len() == 0);
        let swapped = if empty {
            // There was no index before; git takes an empty file for a broken one.
            fs::remove_file(&self.index)
                .or_else(ignore_missing)
                .and_then(|()| fs::remove_file(&self.lock))
        } else {
            fs::rename(&self.lock, &self.index)
        };
        swapped.map_err(at(&self.index))?;
        self.swapped = true;
        let directory = self.index.parent().unwrap_or(&self.index);
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(at(directory))
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        if !self.swapped {
            // What failed before is what the user must hear of.
            drop(fs::remove_file(&self.lock));
        }
    }
}

fn lock_of(index: &Path) -> PathBuf {
    let mut name = index.as_os_str().as_bytes().to_vec();
    name.extend(b".lock");
    PathBuf::from(OsString::from_vec(name))
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, GitError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) => ignore_missing(error).map(|()| None).map_err(at(path)),
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
