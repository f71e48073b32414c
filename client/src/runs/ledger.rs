//! What was handed off from this machine: one small file a run, one manifest a snapshot. A manifest
//! is kept as it is: the next handoff reads it before anything else, and half of it is hashes, which
//! do not shrink.
//!
//! The daemons hold the truth about runs. This only remembers where a run went and what was sent,
//! which `pull` compares with and the next handoff builds upon.

use std::io;
use std::path::{Path, PathBuf};

use handoff_proto::manifest::{Limits, ManifestError, SnapshotId, SnapshotManifest};
use handoff_proto::path::AbsolutePath;
use handoff_proto::run::RunId;
use serde::{Deserialize, Serialize};

use super::stored_path::StoredPath;
use crate::capture::Options;
use crate::capture::git::{Git, GitError};
use crate::capture::user_git::user_git;
use crate::settings::{Places, link_private, write_private};

/// One run that was handed off from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOff {
    /// The run.
    pub id: RunId,
    /// Its name.
    pub name: String,
    /// The remote it went to, as it is called here.
    pub remote: String,
    /// The root of its tree.
    pub root: AbsolutePath,
    /// Globs of ignored things that were carried nevertheless.
    pub include: Vec<String>,
    /// Globs of things that were not carried.
    pub exclude: Vec<String>,
    /// What was sent.
    pub snapshot: SnapshotId,
    /// When, in nanoseconds since the Unix epoch.
    pub at_unix_nanos: i64,
    /// Where the remote's stream of all events stood just before this run's first one.
    pub cursor: String,
}

/// What to capture of a tree, with git's settings as they are now.
///
/// # Errors
///
/// Where those cannot be read.
pub fn capture_options(
    root: &AbsolutePath,
    include: &[String],
    exclude: &[String],
) -> Result<Options, GitError> {
    let bytes = |globs: &[String]| globs.iter().map(|glob| glob.clone().into_bytes()).collect();
    let git = user_git(&Git::new(root.as_os_path()))?;
    Ok(Options {
        include: bytes(include),
        exclude: bytes(exclude),
        excludes_file: git.excludes,
        ignore_case: git.ignore_case,
        ..Options::new(root.clone())
    })
}

/// The stored form.
#[derive(Deserialize, Serialize)]
struct Stored {
    id: String,
    name: String,
    remote: String,
    root: StoredPath,
    include: Vec<String>,
    exclude: Vec<String>,
    snapshot: String,
    at_unix_nanos: i64,
    cursor: String,
}

/// What was handed off cannot be remembered or recalled.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A manifest is not the one that was kept.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
}

/// The memory of what was handed off from here.
#[derive(Clone, Debug)]
pub struct Ledger {
    runs: PathBuf,
    snapshots: PathBuf,
}

impl Ledger {
    /// The memory at its place.
    #[must_use]
    pub fn new(places: &Places) -> Self {
        Self { runs: places.runs(), snapshots: places.snapshots() }
    }

    /// Remembers a run and the encoded manifest that was sent; `kept` is a file with that and
    /// nothing else which is not written any more, if there is one.
    ///
    /// # Errors
    ///
    /// Where a file cannot be written.
    pub fn remember(
        &self,
        run: &HandedOff,
        encoded_manifest: &[u8],
        kept: Option<&Path>,
    ) -> Result<(), LedgerError> {
        let snapshot = self.snapshot_file(&run.snapshot);
        // Not every file system has hard links.
        let is_there =
            snapshot.exists() || kept.is_some_and(|kept| link_private(kept, &snapshot).is_ok());
        if !is_there {
            write(&snapshot, encoded_manifest)?;
        }
        let record = serde_json::to_vec_pretty(&Stored::from(run)).unwrap_or_default();
        write(&self.run_file(&run.id), &record)
    }

    /// One run.
    ///
    /// # Errors
    ///
    /// Where its file cannot be read.
    pub fn recall(&self, id: &RunId) -> Result<Option<HandedOff>, LedgerError> {
        read_run(&self.run_file(id))
    }

    /// All runs, the newest first. A file that is none of ours is passed over.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read.
    pub fn all(&self) -> Result<Vec<HandedOff>, LedgerError> {
        let directory = match std::fs::read_dir(&self.runs) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(LedgerError::Read { path: self.runs.clone(), source }),
        };
        let mut runs = Vec::new();
        for file in directory {
            let file =
                file.map_err(|source| LedgerError::Read { path: self.runs.clone(), source })?;
            runs.extend(read_run(&file.path())?);
        }
        runs.sort_by_key(|run| std::cmp::Reverse(run.at_unix_nanos));
        Ok(runs)
    }

    /// The manifest that was sent for a run.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or is damaged.
    pub fn snapshot(&self, run: &HandedOff) -> Result<SnapshotManifest, LedgerError> {
        let encoded = self.encoded_snapshot(run)?;
        SnapshotManifest::decode(&encoded, &Limits::DEFAULT).map_err(|source| {
            LedgerError::Damaged { path: self.snapshot_file(&run.snapshot), source }
        })
    }

    /// The encoded manifest that was sent for a run.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or is another one.
    pub fn encoded_snapshot(&self, run: &HandedOff) -> Result<Vec<u8>, LedgerError> {
        let path = self.snapshot_file(&run.snapshot);
        let read = |source| LedgerError::Read { path: path.clone(), source };
        let encoded = std::fs::read(&path).map_err(read)?;
        if SnapshotId::of(&encoded) == run.snapshot {
            Ok(encoded)
        } else {
            Err(read(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is damaged: not the snapshot that was kept",
            )))
        }
    }

    /// The newest run of a tree that went to a remote.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read.
    pub fn newest(
        &self,
        remote: &str,
        root: &AbsolutePath,
    ) -> Result<Option<HandedOff>, LedgerError> {
        Ok(self.all()?.into_iter().find(|run| run.remote == remote && run.root == *root))
    }

    /// Forgets a run, and its manifest unless another run was made from the same.
    ///
    /// # Errors
    ///
    /// Where a file cannot be removed.
    pub fn forget(&self, id: &RunId) -> Result<(), LedgerError> {
        let Some(run) = self.recall(id)? else {
            return Ok(());
        };
        remove(&self.run_file(id))?;
        if self.all()?.iter().all(|other| other.snapshot != run.snapshot) {
            remove(&self.snapshot_file(&run.snapshot))?;
        }
        Ok(())
    }

    fn run_file(&self, id: &RunId) -> PathBuf {
        self.runs.join(format!("{id}.json"))
    }

    fn snapshot_file(&self, id: &SnapshotId) -> PathBuf {
        self.snapshots.join(format!("{id}.manifest"))
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), LedgerError> {
    write_private(path, content)
        .map_err(|source| LedgerError::Write { path: path.to_owned(), source })
}

fn remove(path: &Path) -> Result<(), LedgerError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LedgerError::Write { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read_run(path: &Path) -> Result<Option<HandedOff>, LedgerError> {
    match std::fs::read(path) {
        Ok(record) => Ok(serde_json::from_slice::<Stored>(&record).ok().and_then(Stored::parse)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LedgerError::Read { path: path.to_owned(), source }),
    }
}

impl From<&HandedOff> for Stored {
    fn from(run: &HandedOff) -> Self {
        Self {
            id: run.id.to_string(),
            name: run.name.clone(),
            remote: run.remote.clone(),
            root: StoredPath::from(&run.root),
            include: run.include.clone(),
            exclude: run.exclude.clone(),
            snapshot: run.snapshot.to_string(),
            at_unix_nanos: run.at_unix_nanos,
            cursor: run.cursor.clone(),
        }
    }
}

impl Stored {
    fn parse(self) -> Option<HandedOff> {
        Some(HandedOff {
            id: RunId::parse(&self.id).ok()?,
            name: self.name,
            remote: self.remote,
            root: self.root.parse()?,
            include: self.include,
            exclude: self.exclude,
            snapshot: SnapshotId::parse(&self.snapshot).ok()?,
            at_unix_nanos: self.at_unix_nanos,
            cursor: self.cursor,
        })
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::manifest::{Timestamp, VERSION};

    use super::*;

    fn manifest(root: &[u8]) -> SnapshotManifest {
        SnapshotManifest {
            version: VERSION,
            root: AbsolutePath::parse(root).unwrap(),
            root_mode: 0o755,
            root_mtime: Timestamp::default(),
            entries: Vec::new(),
            repositories: Vec::new(),
            session: None,
        }
    }

    fn run(id: u8, manifest: &SnapshotManifest, at: i64) -> HandedOff {
        HandedOff {
            id: RunId::from_random([id; 10]),
            name: format!("run-{id}"),
            remote: "box".to_owned(),
            root: manifest.root.clone(),
            include: vec!["*.env".to_owned()],
            exclude: Vec::new(),
            snapshot: manifest.id(),
            at_unix_nanos: at,
            cursor: "7".to_owned(),
        }
    }

    #[test]
    fn what_is_remembered_is_recalled_newest_first() {
        let home = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(&Places::beneath(home.path()));
        assert_eq!(ledger.all().unwrap(), []);
        let manifest = manifest(b"/home/a/\xff");
        let (old, new) = (run(1, &manifest, 1), run(2, &manifest, 2));
        ledger.remember(&new, &manifest.encode(), None).unwrap();
        ledger.remember(&old, &manifest.encode(), None).unwrap();
        assert_eq!(ledger.all().unwrap(), [new.clone(), old.clone()]);
        assert_eq!(ledger.recall(&old.id).unwrap(), Some(old.clone()));
        assert_eq!(ledger.snapshot(&old).unwrap(), manifest);
    }

    #[test]
    fn a_manifest_that_is_on_the_disk_gets_another_name() {
        let home = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(&Places::beneath(home.path()));
        let (manifest, kept) = (manifest(b"/home/a"), home.path().join("kept"));
        std::fs::write(&kept, manifest.encode()).unwrap();
        let run = run(1, &manifest, 1);
        ledger.remember(&run, &[], Some(&kept)).unwrap();
        std::fs::remove_file(&kept).unwrap();
        assert_eq!(ledger.snapshot(&run).unwrap(), manifest);
        // Without one it is written.
        ledger.forget(&run.id).unwrap();
        ledger.remember(&run, &manifest.encode(), Some(&kept)).unwrap();
        assert_eq!(ledger.snapshot(&run).unwrap(), manifest);
    }

    #[test]
    fn a_snapshot_is_forgotten_with_its_last_run() {
        let home = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(&Places::beneath(home.path()));
        let manifest = manifest(b"/home/a");
        let (one, two) = (run(1, &manifest, 1), run(2, &manifest, 2));
        ledger.remember(&one, &manifest.encode(), None).unwrap();
        ledger.remember(&two, &manifest.encode(), None).unwrap();
        ledger.forget(&one.id).unwrap();
        assert!(ledger.snapshot(&two).is_ok());
        ledger.forget(&two.id).unwrap();
        ledger.forget(&two.id).unwrap();
        assert!(ledger.snapshot(&two).is_err());
    }

    #[test]
    fn a_damaged_snapshot_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(&Places::beneath(home.path()));
        let (kept, other) = (manifest(b"/home/a"), manifest(b"/home/b"));
        let run = run(1, &kept, 1);
        ledger.remember(&run, &other.encode(), None).unwrap();
        assert!(ledger.snapshot(&run).is_err());
    }
}
