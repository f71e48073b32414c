//! The lock that makes the notifier the only one of its user, and tells others which process it is.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

use super::service::Error;
use crate::settings::{FileLock, Places, create_private_directory};

/// How long another process may hold the lock that only asks whether there is a notifier.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a running notifier's process id is, and the lock that it holds.
#[derive(Clone, Debug)]
pub struct Lock {
    path: PathBuf,
}

impl Lock {
    /// The lock at its place.
    #[must_use]
    pub fn new(places: &Places) -> Self {
        Self { path: places.notifier().join("lock") }
    }

    /// Whether a notifier holds it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.path.exists() && matches!(FileLock::try_acquire(&self.path), Ok(None))
    }

    /// The process id of the notifier that holds it.
    #[must_use]
    pub fn holder(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(&self.path).ok().filter(|_| self.is_held())?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Where the lock is: the file changes when a notifier has taken it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes it for this process.
    pub(super) async fn hold(&self) -> Result<FileLock, Error> {
        let failed = |source| Error::Directory { path: self.path.clone(), source };
        if let Some(directory) = self.path.parent() {
            create_private_directory(directory).map_err(failed)?;
        }
        let path = self.path.clone();
        // Somebody who only looks holds it for a moment.
        let acquire = tokio::task::spawn_blocking(move || FileLock::acquire(&path));
        let lock = match tokio::time::timeout(LOCK_TIMEOUT, acquire).await {
            Ok(acquired) => {
                acquired.map_err(io::Error::other).and_then(|lock| lock).map_err(failed)?
            }
            Err(_elapsed) => return Err(Error::AlreadyRunning),
        };
        let mut file =
            OpenOptions::new().write(true).truncate(true).open(&self.path).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_holds_it_is_known_and_the_only_one() {
        let home = tempfile::tempdir().unwrap();
        let lock = Lock::new(&Places::beneath(home.path()));
        assert!(!lock.is_held());
        assert_eq!(lock.holder(), None);
        let held = lock.hold().await.unwrap();
        assert!(lock.is_held());
        assert_eq!(lock.holder(), Some(rustix::process::getpid()));
        assert!(matches!(lock.hold().await, Err(Error::AlreadyRunning)));
        drop(held);
    }
}
