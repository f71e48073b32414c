//! Puts a result into a directory of its own: a working tree of the repository on a branch of its
//! own, or a plain directory.
//!
//! Files are written from chunks and the index from parsed entries; git never checks anything out.
//! In the local tree nothing changes; its repository gets objects, and references under names that
//! nobody else uses.

mod build;
mod removal;
mod source;

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::manifest::{
    ManifestError, Operation, RefName, RefNameError, RepositoryResult, ResultManifest,
    SnapshotManifest,
};
use handoff_proto::tree::FileError;

use self::build::build;
pub use self::removal::remove;
use self::source::{RepositorySource, repository_source};
use super::chunks::Chunks;
use super::git::{GitError, RefTarget};
use super::journal::{
    Journal, JournalError, Phase, Place, Record, RefStep, RepositorySteps, Text, VERSION,
};
use super::plan::{LeftOut, PlanError, RefChange, check_result, not_returned};
use super::prepare::Source;
use super::root::Root;
use super::unchanged::RepositoryPath;

/// What became of a result that was put elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The directory.
    pub path: PathBuf,
    /// The branch, if it is a working tree of the repository.
    pub branch: Option<RefName>,
    /// References that were made.
    pub refs: Vec<RefName>,
    /// What was not brought back.
    pub left_out: Vec<LeftOut>,
}

/// Why a result could not be put elsewhere, or not be removed from there.
#[derive(Debug, thiserror::Error)]
pub enum ElsewhereError {
    /// Something is there.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The branch is there.
    #[error("branch `{0}` exists already")]
    BranchExists(RefName),
    /// The name of the run makes no branch.
    #[error("the run's name makes no branch")]
    Name(#[from] RefNameError),
    /// The result cannot be planned for.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The directory cannot be made or removed.
    #[error("cannot access {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// git failed or refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something in the directory was changed since it was made.
    #[error("{} was changed since the pull: {what}", path.display())]
    Changed {
        /// The directory.
        path: PathBuf,
        /// What.
        what: String,
    },
    /// What was kept about the result is damaged.
    #[error("what was kept about the result is damaged")]
    Damaged(#[from] ManifestError),
}

impl ElsewhereError {
    /// Whether something stands in the way, and nothing was changed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Exists(_) | Self::BranchExists(_) | Self::Changed { .. } => true,
            Self::Git(error) => error.is_conflict(),
            Self::Journal(error) => matches!(error, JournalError::Busy),
            Self::Plan(_)
            | Self::Name(_)
            | Self::Directory { .. }
            | Self::File(_)
            | Self::Damaged(_) => false,
        }
    }

    /// Whether the result is to blame.
    #[must_use]
    pub fn is_hostile(&self) -> bool {
        match self {
            Self::Git(error) => error.is_hostile(),
            Self::Plan(_) => true,
            _ => false,
        }
    }
}

/// The manifests that a result is put elsewhere from.
#[derive(Clone, Copy, Debug)]
pub struct Manifests<'a> {
    /// What was handed off.
    pub base: &'a SnapshotManifest,
    /// What is here now.
    pub local: &'a SnapshotManifest,
    /// What the run returned.
    pub result: &'a ResultManifest,
}

/// The directory beside the tree that a run's result goes to.
#[must_use]
pub fn beside(root: &Path, name: &str) -> PathBuf {
    let mut file_name = root.file_name().unwrap_or_default().to_owned();
    file_name.push(format!(".handoff-{name}"));
    root.with_file_name(file_name)
}

/// Puts a result into `destination`, which must not exist; an empty directory will do if the user
/// named it.
///
/// # Errors
///
/// Where something is there already, or it cannot be written; nothing stays behind then.
pub fn put_elsewhere(
    root: &Root,
    destination: &Path,
    manifests: Manifests<'_>,
    chunks: &Chunks,
    source: &Source,
    journal: &Journal,
) -> Result<Placed, ElsewhereError> {
    check_result(manifests.base, manifests.result)?;
    if !is_free(destination)? {
        return Err(ElsewhereError::Exists(destination.to_owned()));
    }
    let branch = RefName::parse(format!("refs/heads/handoff/{}", source.name).as_bytes())?;
    let mut left_out = not_returned(manifests.base, manifests.result);
    let mut sources = Vec::new();
    for result in &manifests.result.repositories {
        match repository_source(root, result, manifests, &branch, chunks, source)? {
            Some(found) => sources.push(found),
            None => {
                left_out.push(LeftOut::Repository(RepositoryPath(result.path.clone())));
            }
        }
        left_out.extend(not_brought_back(result));
    }
    let is_worktree = sources.iter().any(|source| source.result.path.is_none());
    let entry = journal.begin()?;
    let mut record = new_record(destination, is_worktree, &sources, source);
    fs::write(entry.result(), manifests.result.encode()).map_err(at(&entry.result()))?;
    entry.write(&record)?;
    let refs = record.repositories.iter().flat_map(|steps| &steps.refs).filter_map(named).collect();
    if let Err(first) = build(destination, manifests, &branch, chunks, sources, &entry) {
        // What it failed on is what the user must hear of; the record allows to try again.
        drop(remove(root, &entry, &record));
        return Err(first);
    }
    record.phase = Phase::Done;
    entry.write(&record)?;
    journal.forget_before(&entry)?;
    let branch = is_worktree.then_some(branch);
    Ok(Placed { path: destination.to_owned(), branch, refs, left_out })
}

fn not_brought_back(result: &RepositoryResult) -> impl Iterator<Item = LeftOut> {
    let at = RepositoryPath(result.path.clone());
    result
        .in_progress
        .iter()
        .map(|(operation, _)| *operation)
        .filter(|operation| matches!(operation, Operation::Rebase | Operation::Bisect))
        .map(move |operation| LeftOut::Operation(at.clone(), operation))
}

fn new_record(
    destination: &Path,
    worktree: bool,
    sources: &[RepositorySource<'_>],
    source: &Source,
) -> Record {
    let step = |change: &RefChange| RefStep {
        name: Text(RefTarget::Named(change.name.clone())),
        before: change.before.map(Text),
        after: Some(Text(change.after)),
    };
    let steps = |source: &RepositorySource<'_>| RepositorySteps {
        path: source.result.path.clone().map(Text),
        refs: source.refs.iter().map(step).collect(),
        head: None,
        files: Vec::new(),
        index: None,
    };
    Record {
        version: VERSION,
        phase: Phase::Unfinished,
        process: std::process::id(),
        run: source.run.clone(),
        name: source.name.clone(),
        result: source.result.clone(),
        place: Place::Elsewhere {
            path: Text(destination.as_os_str().as_bytes().to_vec()),
            worktree,
        },
        tree: Vec::new(),
        relaxed: Vec::new(),
        repositories: sources.iter().map(steps).collect(),
    }
}

/// Whether nothing is there, or an empty directory.
///
/// # Errors
///
/// Where that cannot be found out.
pub fn is_free(path: &Path) -> Result<bool, ElsewhereError> {
    match fs::read_dir(path) {
        Ok(mut found) => Ok(found.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(at(path)(error)),
    }
}

fn named(step: &RefStep) -> Option<RefName> {
    match &step.name.0 {
        RefTarget::Named(name) => Some(name.clone()),
        RefTarget::Pseudo(_) => None,
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ElsewhereError {
    let path = path.to_owned();
    move |source| ElsewhereError::Directory { path, source }
}
