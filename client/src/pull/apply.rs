//! Puts a result in place: take its objects in, record, apply; and puts back what was.
//!
//! ```text
//! plan ─▶ receive objects ─▶ keep old contents ─▶ record ─▶ lock ─▶ files ─▶ references, index, HEAD ─▶ done
//!                                                   └────── cut off: put back ◀──────┘
//! ```
//!
//! Whatever happens after the record is written, the tree ends in the old state or in the new one.

use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use handoff_proto::chunk::ChunkRef;
use handoff_proto::manifest::{Entry as TreeEntry, SnapshotManifest};
use handoff_proto::path::TreePath;

use super::chunks::Chunks;
use super::git::GitError;
use super::journal::{Entry, Journal, JournalError, Node, Phase, Record, Side};
use super::plan::Plan;
use super::prepare::{PrepareError, Source, prepare};
use super::receive::receive;
use super::repository::{self, Prepared};
use super::root::{Root, RootError};
use super::tree::{Contents, TreeError, remove_leftovers, transition};

/// A step that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The record is about to be written.
    Record,
    /// Locks are about to be taken.
    Lock,
    /// This path is about to change.
    Path(TreePath),
    /// This part of a git directory is about to change.
    Git(&'static str),
    /// The record is about to be closed.
    Done,
}

/// Is told of each step before it is made.
pub type Watch<'a> = &'a mut dyn FnMut(&Step);

/// Why a result could not be put in place, or the old state not be put back.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The root cannot be opened.
    #[error(transparent)]
    Root(#[from] RootError),
    /// What was written could not be made durable.
    #[error("cannot make what was written durable")]
    Sync(#[source] io::Error),
    /// Nothing was changed.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// git failed or refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A path could not be changed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A repository is gone.
    #[error("the repository in `{0}` is gone")]
    RepositoryGone(String),
    /// It failed half-way and could not be put back either.
    #[error("cannot put the old state back ({failure}); {} has the old contents", kept.display())]
    Stuck {
        /// Why it could not be put back.
        failure: Box<Self>,
        /// Why it failed first.
        #[source]
        first: Box<Self>,
        /// Where the old contents are.
        kept: PathBuf,
    },
}

impl ApplyError {
    /// Whether something in the tree stands in the way, and nothing was changed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Prepare(PrepareError::Changed(_) | PrepareError::RepositoryGone(_))
            | Self::RepositoryGone(_)
            | Self::Journal(JournalError::Busy)
            | Self::Tree(TreeError::NotEmpty(_)) => true,
            Self::Prepare(PrepareError::Git(error)) | Self::Git(error) => error.is_conflict(),
            Self::Prepare(_)
            | Self::Root(_)
            | Self::Sync(_)
            | Self::Journal(_)
            | Self::Tree(_)
            | Self::Stuck { .. } => false,
        }
    }

    /// Whether the result is to blame.
    #[must_use]
    pub fn is_hostile(&self) -> bool {
        match self {
            Self::Prepare(PrepareError::Git(error)) | Self::Git(error) => error.is_hostile(),
            _ => false,
        }
    }
}

/// Puts a planned result in place.
///
/// # Errors
///
/// Where it cannot be; unless the error is [`ApplyError::Stuck`], the tree is as it was before.
pub fn put_in_place(
    root: &Root,
    plan: &Plan,
    local: &SnapshotManifest,
    chunks: &Chunks,
    source: &Source,
    journal: &Journal,
    watch: Watch<'_>,
) -> Result<(), ApplyError> {
    let mut incoming = Vec::new();
    for repository in &plan.repositories {
        incoming.push(receive(root, repository, chunks)?);
    }
    let entry = journal.begin()?;
    let handle = root.handle().as_fd();
    let prepared = prepare(handle, root.path(), plan, local, chunks, source, &entry);
    let mut record = prepared.inspect_err(|_| drop(entry.discard()))?;
    for objects in incoming {
        objects.keep()?;
    }
    watch(&Step::Record);
    entry.write(&record)?;
    let contents = NewContents { chunks, plan };
    watch(&Step::Lock);
    let locked = lock(root, &record, Side::After, &entry);
    let locked = locked.inspect_err(|_| drop(entry.discard()))?;
    if let Err(first) = change(root, &record, Side::After, locked, &contents, watch) {
        return Err(give_up(root, &record, &entry, first));
    }
    watch(&Step::Done);
    sync(root)?;
    record.phase = Phase::Done;
    entry.write(&record)?;
    Ok(journal.forget_before(&entry)?)
}

/// Puts back what was before an attempt that failed.
fn give_up(root: &Root, record: &Record, entry: &Entry, first: ApplyError) -> ApplyError {
    match put_back(root, record, entry, &mut |_| {}) {
        Ok(()) => first,
        Err(failure) => ApplyError::Stuck {
            failure: Box::new(failure),
            first: Box::new(first),
            kept: entry.directory().to_owned(),
        },
    }
}

/// Brings everything back to the state before, and removes the entry from the journal.
///
/// # Errors
///
/// Where something cannot be changed; it can be tried again.
pub fn put_back(
    root: &Root,
    record: &Record,
    entry: &Entry,
    watch: Watch<'_>,
) -> Result<(), ApplyError> {
    break_stale_locks(root, record, entry)?;
    remove_leftovers(root.handle().as_fd(), record)?;
    watch(&Step::Lock);
    let locked = lock(root, record, Side::Before, entry)?;
    let mut record = record.clone();
    if record.phase == Phase::Done {
        // From here on it may be cut off as well.
        record.phase = Phase::Unfinished;
        record.process = std::process::id();
        entry.write(&record)?;
    }
    change(root, &record, Side::Before, locked, &OldContents { entry, record: &record }, watch)?;
    watch(&Step::Done);
    sync(root)?;
    Ok(entry.discard()?)
}

/// Takes every lock on the way to one side of the record; nothing has changed so far.
fn lock<'a>(
    root: &Root,
    record: &'a Record,
    to: Side,
    entry: &Entry,
) -> Result<Vec<Prepared<'a>>, ApplyError> {
    let verb = to.of("undo", "pull");
    let why = format!("handoff {verb}: {}", record.name);
    let mut locked = Vec::new();
    for (number, steps) in record.repositories.iter().enumerate() {
        let path = steps.path.as_ref().map(|path| &path.0);
        let git = repository::open(root.path(), path)?.ok_or_else(|| gone(path))?;
        locked.push(repository::prepare(&git, number, steps, to, entry, &why)?);
    }
    Ok(locked)
}

/// Brings everything to one side of the record.
fn change(
    root: &Root,
    record: &Record,
    to: Side,
    locked: Vec<Prepared<'_>>,
    contents: &dyn Contents,
    watch: Watch<'_>,
) -> Result<(), ApplyError> {
    transition(root.handle().as_fd(), record, to, contents, &mut |path| {
        watch(&Step::Path(path.clone()));
    })?;
    for repository in locked {
        repository.commit(&mut |part| watch(&Step::Git(part)))?;
    }
    Ok(())
}

fn break_stale_locks(root: &Root, record: &Record, entry: &Entry) -> Result<(), ApplyError> {
    for (number, steps) in record.repositories.iter().enumerate() {
        let path = steps.path.as_ref().map(|path| &path.0);
        if let Some(git) = repository::open(root.path(), path)? {
            let ours = [Side::Before, Side::After].map(|side| entry.index(number, side));
            git.break_stale_index_lock(&ours)?;
        }
    }
    Ok(())
}

/// Makes what was written durable before the record says that it is there.
fn sync(root: &Root) -> Result<(), ApplyError> {
    #[cfg(target_os = "linux")]
    let synced = rustix::fs::syncfs(root.handle());
    #[cfg(not(target_os = "linux"))]
    let synced = {
        rustix::fs::sync();
        Ok::<(), rustix::io::Errno>(())
    };
    synced.map_err(|error| ApplyError::Sync(error.into()))
}

pub(super) fn gone(path: Option<&TreePath>) -> ApplyError {
    ApplyError::RepositoryGone(path.map_or_else(|| ".".to_owned(), TreePath::to_string))
}

/// The contents of a result.
struct NewContents<'a> {
    chunks: &'a Chunks,
    plan: &'a Plan,
}

impl Contents for NewContents<'_> {
    fn open(&self, step: usize) -> io::Result<Box<dyn Read + '_>> {
        let after = self.plan.tree.get(step).and_then(|change| change.after.as_ref());
        let chunks: &[ChunkRef] = after.map_or(&[], TreeEntry::chunks);
        Ok(Box::new(self.chunks.reader(chunks)))
    }
}

/// The contents that were kept.
struct OldContents<'a> {
    entry: &'a Entry,
    record: &'a Record,
}

impl Contents for OldContents<'_> {
    fn open(&self, step: usize) -> io::Result<Box<dyn Read + '_>> {
        let step = self.record.tree.get(step);
        let kept = step.and_then(|step| match step.before {
            Some(Node::File { size, .. }) => Some((step.kept?, size)),
            _ => None,
        });
        let (place, size) = kept.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(self.entry.read_kept(place, size)?))
    }
}
