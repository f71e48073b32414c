//! An entry that this process alone may send: its files.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use handoff_proto::manifest::{Limits, SnapshotId, SnapshotManifest};

use super::entry::{Entry, Standing};
use super::error::OutboxError;
use super::spool::Spool;
use crate::capture::Capture;
use crate::settings::{Durability, FileLock, replace_private};

/// The lock of whoever sends the entry.
pub(super) const LOCK: &str = "lock";

/// The entry itself; written last, so that a directory without it is none.
const ENTRY: &str = "entry.json";

/// The encoded manifest, as it is: its id is its checksum.
const MANIFEST: &str = "manifest";

/// An entry that this process alone may send, until this is dropped.
#[derive(Debug)]
pub struct Held {
    directory: PathBuf,
    entry: Entry,
    _lock: FileLock,
}

impl Held {
    pub(super) fn create(
        directory: PathBuf,
        lock: FileLock,
        entry: Entry,
        encoded_manifest: &[u8],
    ) -> Result<Self, OutboxError> {
        let held = Self { directory, entry, _lock: lock };
        held.write_manifest(encoded_manifest)?;
        held.save(Durability::Process)?;
        Ok(held)
    }

    pub(super) fn open(
        directory: PathBuf,
        lock: FileLock,
        entry: Entry,
    ) -> Result<Self, OutboxError> {
        let held = Self { directory, entry, _lock: lock };
        held.tidy()?;
        Ok(held)
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Keeps another capture of the same handoff instead: the tree changed while it was sent.
    ///
    /// # Errors
    ///
    /// Where it cannot be written; there is no entry any more then.
    pub fn recaptured(&mut self, capture: &Capture) -> Result<(), OutboxError> {
        // No moment may pair the old entry with the new manifest.
        remove_file(&self.path(ENTRY))?;
        self.entry.snapshot = capture.id;
        self.write_manifest(&capture.encoded)?;
        self.save(Durability::Process)
    }

    /// Writes down where it stands.
    ///
    /// # Errors
    ///
    /// Where that cannot be written.
    pub fn stands(&mut self, standing: Standing) -> Result<(), OutboxError> {
        if self.entry.standing == standing {
            return Ok(());
        }
        // What was promised to be kept stays kept.
        let durability = match self.entry.standing {
            Standing::Sending => Durability::Process,
            Standing::Waiting { .. } | Standing::Stopped { .. } => Durability::Power,
        };
        self.entry.standing = standing;
        self.save(durability)
    }

    /// Has the entry survive a power cut, too, and gives it the name for good that it is told to
    /// its owner by.
    ///
    /// # Errors
    ///
    /// Where that cannot be written.
    pub fn settle(&mut self, standing: Standing) -> Result<(), OutboxError> {
        self.entry.offer.name = self.entry.shown_name();
        self.entry.standing = standing;
        let manifest = self.manifest_file();
        let synced = File::open(&manifest).and_then(|file| file.sync_all());
        synced.map_err(|source| OutboxError::Write { path: manifest, source })?;
        self.save(Durability::Power)?;
        let parent = self.directory.parent().unwrap_or(&self.directory);
        let synced = File::open(parent).and_then(|directory| directory.sync_all());
        synced.map_err(|source| OutboxError::Write { path: parent.to_owned(), source })
    }

    /// The content that was set aside.
    pub(super) fn spooled(&self) -> Spool {
        Spool::at(&self.directory)
    }

    /// The file with the encoded manifest; replaced, never written again.
    pub(super) fn manifest_file(&self) -> PathBuf {
        self.path(MANIFEST)
    }

    /// The manifest as it was captured.
    pub(super) fn manifest(&self) -> Result<(Vec<u8>, SnapshotManifest), OutboxError> {
        let path = self.manifest_file();
        let damaged = || OutboxError::Damaged { path: path.clone() };
        let encoded = std::fs::read(&path)
            .map_err(|source| OutboxError::Read { path: path.clone(), source })?;
        if SnapshotId::of(&encoded) != self.entry.snapshot {
            return Err(damaged());
        }
        let manifest =
            SnapshotManifest::decode(&encoded, &Limits::DEFAULT).map_err(|_| damaged())?;
        Ok((encoded, manifest))
    }

    /// Drops the entry: its receipt is remembered, or nobody wants it any more.
    ///
    /// # Errors
    ///
    /// Where it cannot be removed.
    pub fn discard(self) -> Result<(), OutboxError> {
        remove(&self.directory)
    }

    fn write_manifest(&self, encoded: &[u8]) -> Result<(), OutboxError> {
        let path = self.manifest_file();
        replace_private(&path, Durability::Process, |file| file.write_all(encoded))
            .map_err(|source| OutboxError::Write { path, source })
    }

    fn save(&self, durability: Durability) -> Result<(), OutboxError> {
        let path = self.path(ENTRY);
        replace_private(&path, durability, |file| file.write_all(&self.entry.encode()))
            .map_err(|source| OutboxError::Write { path, source })
    }

    /// Removes what a process that was killed left half written.
    fn tidy(&self) -> Result<(), OutboxError> {
        let failed = |source| OutboxError::Read { path: self.directory.clone(), source };
        for found in std::fs::read_dir(&self.directory).map_err(failed)? {
            let found = found.map_err(failed)?;
            // As temporary files are called; none of ours begins so.
            if found.file_name().as_encoded_bytes().starts_with(b".tmp") {
                remove_file(&found.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Reads an entry; none if there is none.
pub(super) fn load(directory: &Path) -> Result<Option<Entry>, OutboxError> {
    let path = directory.join(ENTRY);
    match std::fs::read(&path) {
        // A power cut while it was sent, when nothing had been promised.
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => match Entry::decode(&bytes) {
            Some(entry) => Ok(Some(entry)),
            None => Err(OutboxError::Damaged { path }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OutboxError::Read { path, source }),
    }
}

/// Removes an entry, its own file first: what is left after a crash is none any more.
pub(super) fn remove(directory: &Path) -> Result<(), OutboxError> {
    remove_file(&directory.join(ENTRY))?;
    std::fs::remove_dir_all(directory)
        .map_err(|source| OutboxError::Write { path: directory.to_owned(), source })
}

fn remove_file(path: &Path) -> Result<(), OutboxError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(OutboxError::Write { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
