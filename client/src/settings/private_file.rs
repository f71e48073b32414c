//! Files that only their owner may read, replaced whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

/// Creates a directory and those above it for their owner alone; existing ones stay as they are.
///
/// # Errors
///
/// Where that cannot be done.
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// What a replaced file survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process, however it comes. After a power cut it may be the old content or
    /// an empty file: whoever reads it must be able to tell.
    Process,
    /// A power cut as well; costs two waits for the disk.
    Power,
}

/// Replaces a file's content durably; a reader sees the old or the new content, mode 0600.
///
/// # Errors
///
/// Where the file cannot be written; the old content then stays.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_private(path, Durability::Power, |file| file.write_all(content))
}

/// Replaces a file with what `write` writes; a reader sees the old or the new content, mode 0600.
///
/// # Errors
///
/// Where the file cannot be written or `write` fails; the old content then stays.
pub fn replace_private<E: From<io::Error>>(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let directory = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    create_private_directory(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    write(file.as_file_mut())?;
    if durability == Durability::Power {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durability == Durability::Power {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Gives a private file a second name, durably: the name is there only if the content is.
///
/// # Errors
///
/// Where the name is taken or cannot be given; not every file system has hard links.
pub fn link_private(file: &Path, path: &Path) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    create_private_directory(directory)?;
    File::open(file)?.sync_all()?;
    std::fs::hard_link(file, path)?;
    File::open(directory)?.sync_all()
}

/// An exclusive lock between processes, held until dropped.
#[derive(Debug)]
pub struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // A child between fork and exec still has the descriptor: closing alone might not unlock.
        // There is nothing to be done about a failure; the descriptor is closed next.
        let _unlocked = flock(&self.0, FlockOperation::Unlock);
    }
}

impl FileLock {
    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// Where the lock file cannot be opened.
    pub fn acquire(path: &Path) -> io::Result<Self> {
        let file = open_lock(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self(file))
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Errors
    ///
    /// Where the lock file cannot be opened.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = open_lock(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the lock, but no longer than this.
    ///
    /// # Errors
    ///
    /// Where the lock file cannot be opened.
    pub fn acquire_within(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        if let Some(lock) = Self::try_acquire(path)? {
            return Ok(Some(lock));
        }
        let file = open_lock(path)?;
        let (sender, receiver) = mpsc::channel();
        // The kernel waits without end only. A thread that nobody waits for any more lets go of what
        // it gets, or ends with the process.
        thread::Builder::new().name("lock".to_owned()).spawn(move || {
            let locked = retry_on_intr(|| flock(&file, FlockOperation::LockExclusive));
            drop(sender.send(locked.map(|()| Self(file))));
        })?;
        match receiver.recv_timeout(patience) {
            Ok(locked) => Ok(Some(locked?)),
            Err(_) => Ok(None),
        }
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_its_owners_alone_and_replaced_whole() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/key.pem");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let held = FileLock::acquire(&path).unwrap();
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        let nobody = FileLock::acquire_within(&path, Duration::from_millis(1)).unwrap();
        assert!(nobody.is_none(), "whoever holds it does not let go in time");
        drop(held);
        // Whoever gave up does not keep it.
        assert!(FileLock::acquire_within(&path, Duration::from_secs(60)).unwrap().is_some());
    }

    #[test]
    fn a_lock_is_free_though_a_child_still_has_the_descriptor() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let held = FileLock::acquire(&path).unwrap();
        let childs = held.0.try_clone().unwrap();
        drop(held);
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
        drop(childs);
    }

    #[test]
    fn a_lock_is_waited_for_as_long_as_that_is_worth_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let held = FileLock::acquire(&path).unwrap();
        thread::scope(|scope| {
            let waiting =
                scope.spawn(|| FileLock::acquire_within(&path, Duration::from_secs(60)).unwrap());
            drop(held);
            assert!(waiting.join().unwrap().is_some());
        });
    }
}
