//! Waits for git's lock on an index: whoever holds it is about to change what we read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::file_watch::FileWatch;

/// How long a held lock is waited for: longer than staging a large tree takes.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long housekeeping is waited for that takes files away while they are read.
pub(super) const HOUSEKEEPING_WAIT_MAX: Duration = Duration::from_secs(60);

/// The lock is still held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another git command holds it, or one has died with it.
    #[error("{path} is held: another git command is at work, or one was killed")]
    Held {
        /// The lock.
        path: PathBuf,
    },
    /// The directory cannot be watched.
    #[error("cannot wait for {path}")]
    Watch {
        /// The lock.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Waits until the lock is gone.
pub(super) fn wait_until_free(lock: &Path, at_most: Duration) -> Result<(), LockError> {
    let held = || lock.symlink_metadata().is_ok();
    if !held() {
        return Ok(());
    }
    let failed = |source| LockError::Watch { path: lock.to_owned(), source };
    let directory = lock.parent().unwrap_or(lock);
    let mut watch = FileWatch::new(directory).map_err(failed)?;
    let deadline = Instant::now() + at_most;
    while held() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LockError::Held { path: lock.to_owned() });
        }
        watch.wait(left).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_up_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let lock = home.path().join("index.lock");
        std::fs::write(&lock, "").unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait_until_free(&lock, Duration::from_secs(60)));
            std::fs::rename(&lock, home.path().join("index")).unwrap();
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_lock_that_stays_is_named() {
        let home = tempfile::tempdir().unwrap();
        let lock = home.path().join("index.lock");
        std::fs::write(&lock, "").unwrap();
        let error = wait_until_free(&lock, Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("index.lock is held"), "{error}");
    }
}
