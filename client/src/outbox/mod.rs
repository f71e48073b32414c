//! Handoffs that no receipt has come for: one directory each, from the capture to the receipt.
//!
//! ```text
//!            capture                    receipt remembered
//!  (nothing) ───────▶ entry, manifest ────────────────────▶ (nothing)
//!                        │        ▲
//!          remote away   ▼        │ `handoff resume-upload`, notifier
//!                     entry, manifest, spool
//! ```
//!
//! An entry holds the idempotency key, so that whoever finishes it never makes a second run. While
//! a command sends, its entry outlives the process but not a power cut: nothing has been promised
//! by then, and waiting for the disk would make every handoff slower. Before a handoff is said to
//! be kept, everything of it is on disk. A directory's lock belongs to whoever sends from it.

mod delivery;
mod entry;
mod error;
mod held;
mod kept;
mod reach;
mod spool;

use std::io;
use std::path::PathBuf;

use handoff_proto::run::RunId;

use crate::settings::{FileLock, Places, create_private_directory};

pub use delivery::{Delivered, finish, postpone, sent};
pub use entry::{Entry, STATE, Standing};
pub use error::{NotSent, OutboxError};
pub use held::Held;
pub use kept::{Chunks, Kept};
pub use reach::fate;

/// The handoffs that no receipt has come for.
#[derive(Clone, Debug)]
pub struct Outbox {
    directory: PathBuf,
}

impl Outbox {
    /// The outbox at its place.
    #[must_use]
    pub fn new(places: &Places) -> Self {
        Self { directory: places.outbox() }
    }

    /// Makes the directory in which entries come and go, and returns it, to be watched.
    ///
    /// # Errors
    ///
    /// Where that cannot be done.
    pub fn create(&self) -> Result<&PathBuf, OutboxError> {
        create_private_directory(&self.directory)
            .map_err(|source| OutboxError::Write { path: self.directory.clone(), source })?;
        Ok(&self.directory)
    }

    /// All entries, the newest first.
    ///
    /// # Errors
    ///
    /// Where one cannot be read.
    pub fn all(&self) -> Result<Vec<Entry>, OutboxError> {
        let mut entries = Vec::new();
        for id in self.ids()? {
            entries.extend(held::load(&self.entry_directory(&id))?);
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at_unix_nanos));
        Ok(entries)
    }

    /// Keeps a handoff that is about to be sent, and holds it.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn keep(&self, entry: Entry, encoded_manifest: &[u8]) -> Result<Held, OutboxError> {
        self.sweep()?;
        let directory = self.entry_directory(&entry.id);
        let failed = |source| OutboxError::Write { path: directory.clone(), source };
        create_private_directory(&directory).map_err(failed)?;
        let lock = FileLock::try_acquire(&directory.join(held::LOCK)).map_err(failed)?;
        let lock = lock.ok_or_else(|| OutboxError::Busy { name: entry.shown_name() })?;
        Held::create(directory, lock, entry, encoded_manifest)
    }

    /// Holds an entry; none if it is gone.
    ///
    /// # Errors
    ///
    /// Where another process holds it, or it cannot be read.
    pub fn hold(&self, entry: &Entry) -> Result<Option<Held>, OutboxError> {
        let directory = self.entry_directory(&entry.id);
        let lock = match FileLock::try_acquire(&directory.join(held::LOCK)) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(OutboxError::Busy { name: entry.shown_name() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OutboxError::Read { path: directory, source }),
        };
        // Whoever held it before may have changed or finished it.
        let Some(entry) = held::load(&directory)? else {
            return Ok(None);
        };
        Held::open(directory, lock, entry).map(Some)
    }

    /// Removes what a process left that was killed before its entry was whole.
    fn sweep(&self) -> Result<(), OutboxError> {
        for id in self.ids()? {
            let directory = self.entry_directory(&id);
            if held::load(&directory).is_ok_and(|entry| entry.is_none())
                && let Ok(Some(_lock)) = FileLock::try_acquire(&directory.join(held::LOCK))
                && held::load(&directory).is_ok_and(|entry| entry.is_none())
            {
                held::remove(&directory)?;
            }
        }
        Ok(())
    }

    fn ids(&self) -> Result<Vec<RunId>, OutboxError> {
        let failed = |source| OutboxError::Read { path: self.directory.clone(), source };
        let directory = match std::fs::read_dir(&self.directory) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut ids = Vec::new();
        for found in directory {
            let name = found.map_err(failed)?.file_name();
            ids.extend(name.to_str().and_then(|name| RunId::parse(name).ok()));
        }
        Ok(ids)
    }

    fn entry_directory(&self, id: &RunId) -> PathBuf {
        self.directory.join(id.as_str())
    }
}

#[cfg(test)]
mod tests;
