//! The rules of a manifest's content, the same for who makes one and who decodes one.

use crate::chunk::{CHUNK_SIZE_MAX, ChunkRef};
use crate::path::{TreePath, escaped};

use super::entry::{Entry, Kind, MODE_MASK, SYMLINK_TARGET_MAX, Timestamp};
use super::error::{EntryProblem, ManifestError, RepositoryProblem};
use super::index::IndexEntry;
use super::limits::Limits;
use super::oid::{ObjectFormat, Oid};
use super::ref_name::RefName;
use super::repository::{Head, Operation, Repository, RepositoryState};
use super::result::{RepositoryResult, ResultManifest};
use super::session::Session;

/// Whether entries may lie in a git directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum GitNames {
    /// In a snapshot, which its owner made.
    Carried,
    /// In a result.
    Refused,
}

pub(super) fn known_version(version: u32) -> Result<(), ManifestError> {
    match version {
        super::VERSION | super::VERSION_WITH_SESSION => Ok(()),
        _ => Err(ManifestError::UnknownVersion(version)),
    }
}

pub(super) fn version(version: u32, session: Option<&Session>) -> Result<(), ManifestError> {
    known_version(version)?;
    if version == super::version_of(session) { Ok(()) } else { Err(ManifestError::SessionVersion) }
}

pub(super) fn root_meta(mode: u32, mtime: Timestamp) -> Result<(), ManifestError> {
    meta(mode, mtime).map_err(ManifestError::RootMeta)
}

/// Checks all entries of a tree and returns the bytes that their files hold.
pub(super) fn entries(
    entries: &[Entry],
    git: GitNames,
    limits: &Limits,
) -> Result<u64, ManifestError> {
    at_most("entries", entries.len(), limits.entries_max)?;
    let mut content: u64 = 0;
    // The directories that this entry may be in, each beneath the one before.
    let mut open: Vec<&TreePath> = Vec::new();
    let mut previous: Option<&TreePath> = None;
    for entry in entries {
        let path = &entry.path;
        while open.pop_if(|directory| !path.starts_with(directory)).is_some() {}
        entry_alone(entry, git)
            .and_then(|()| placed(path, previous, open.last().copied()))
            .map_err(|problem| refuse_entry(path, problem))?;
        content = add_content(content, entry.size(), limits)?;
        if entry.is_directory() {
            open.push(path);
        }
        previous = Some(path);
    }
    Ok(content)
}

/// The rules about one entry's place among the others.
fn placed(
    path: &TreePath,
    previous: Option<&TreePath>,
    open: Option<&TreePath>,
) -> Result<(), EntryProblem> {
    match previous.map(|previous| previous.cmp(path)) {
        Some(std::cmp::Ordering::Equal) => return Err(EntryProblem::Duplicate),
        Some(std::cmp::Ordering::Greater) => return Err(EntryProblem::Unsorted),
        Some(std::cmp::Ordering::Less) | None => {}
    }
    if path.split().0 == open.map(TreePath::as_bytes) { Ok(()) } else { Err(EntryProblem::Parent) }
}

/// The rules about one entry that need no other entry.
pub(super) fn entry_alone(entry: &Entry, git: GitNames) -> Result<(), EntryProblem> {
    if git == GitNames::Refused && entry.path.has_git_component() {
        return Err(EntryProblem::GitSpelling);
    }
    meta(entry.mode, entry.mtime)?;
    match &entry.kind {
        Kind::Directory => Ok(()),
        Kind::File { size, chunks } => {
            let sum = chunks_size(chunks)?;
            if sum == *size { Ok(()) } else { Err(EntryProblem::Size { size: *size, chunks: sum }) }
        }
        Kind::Symlink { target } => {
            let fits = (1..=SYMLINK_TARGET_MAX).contains(&target.len());
            if fits && !target.contains(&0) { Ok(()) } else { Err(EntryProblem::SymlinkTarget) }
        }
    }
}

fn meta(mode: u32, mtime: Timestamp) -> Result<(), EntryProblem> {
    if mode & !MODE_MASK != 0 {
        return Err(EntryProblem::Mode(mode));
    }
    if mtime.nanos >= 1_000_000_000 {
        return Err(EntryProblem::Nanoseconds(mtime.nanos));
    }
    Ok(())
}

/// The bytes in these chunks, each of which must have a legal size.
fn chunks_size(chunks: &[ChunkRef]) -> Result<u64, EntryProblem> {
    chunks.iter().try_fold(0_u64, |sum, chunk| {
        if chunk.size == 0 || chunk.size as usize > CHUNK_SIZE_MAX {
            Err(EntryProblem::ChunkSize(chunk.size))
        } else {
            // At most 2^24 chunks fit the largest manifest, so that this cannot overflow.
            Ok(sum + u64::from(chunk.size))
        }
    })
}

/// Finds an entry in a sorted list.
pub(super) fn find<'a>(entries: &'a [Entry], path: &TreePath) -> Option<&'a Entry> {
    let place = entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
    Some(&entries[place])
}

pub(super) fn repositories(
    repositories: &[Repository],
    entries: &[Entry],
    limits: &Limits,
) -> Result<(), ManifestError> {
    at_most("repositories", repositories.len(), limits.repositories_max)?;
    let refs = repositories.iter().map(|r| r.state.refs.len()).sum();
    at_most("references", refs, limits.refs_max)?;
    let mut previous: Option<&Option<TreePath>> = None;
    for repository in repositories {
        let path = &repository.path;
        in_order(previous.replace(path), path)
            .and_then(|()| is_directory(path.as_ref(), entries))
            .and_then(|()| has_git_directory(&repository.git_dir, entries))
            .and_then(|()| state(&repository.state))
            .map_err(|problem| refuse_repository(path.as_ref(), problem))?;
        heads(&repository.state.in_progress, limits)?;
    }
    Ok(())
}

fn has_git_directory(path: &TreePath, entries: &[Entry]) -> Result<(), RepositoryProblem> {
    is_directory(Some(path), entries).map_err(|_| RepositoryProblem::GitDirectory(path.to_string()))
}

fn state(state: &RepositoryState) -> Result<(), RepositoryProblem> {
    let format = state.object_format;
    head(&state.head, format)?;
    refs(&state.refs, format)?;
    in_progress(&state.in_progress, format)
}

/// Checks the repositories of a result whose files hold `content` bytes; returns that and what
/// their packs hold.
pub(super) fn repository_results(
    repositories: &[RepositoryResult],
    entries: &[Entry],
    mut content: u64,
    limits: &Limits,
) -> Result<u64, ManifestError> {
    at_most("repositories", repositories.len(), limits.repositories_max)?;
    let refs = repositories.iter().map(|r| r.refs.len()).sum();
    at_most("references", refs, limits.refs_max)?;
    let index_entries = repositories.iter().map(|r| r.index.len()).sum();
    at_most("index entries", index_entries, limits.index_entries_max)?;
    let mut previous: Option<&Option<TreePath>> = None;
    for repository in repositories {
        let path = &repository.path;
        let pack = in_order(previous.replace(path), path)
            .and_then(|()| is_directory(path.as_ref(), entries))
            .and_then(|()| repository_result(repository))
            .map_err(|problem| refuse_repository(path.as_ref(), problem))?;
        heads(&repository.in_progress, limits)?;
        content = add_content(content, pack, limits)?;
    }
    Ok(content)
}

/// Checks one repository and returns the size of its pack in bytes.
fn repository_result(repository: &RepositoryResult) -> Result<u64, RepositoryProblem> {
    let format = repository.object_format;
    head(&repository.head, format)?;
    refs(&repository.refs, format)?;
    in_progress(&repository.in_progress, format)?;
    index(&repository.index, format)?;
    chunks_size(&repository.pack).map_err(RepositoryProblem::Pack)
}

pub(super) fn new_repositories(
    manifest: &ResultManifest,
    limits: &Limits,
) -> Result<(), ManifestError> {
    let new = &manifest.new_repositories;
    at_most("new repositories", new.len(), limits.repositories_max)?;
    let mut previous: Option<&TreePath> = None;
    for path in new {
        in_order(previous.replace(path), path)
            .and_then(|()| is_directory(Some(path), &manifest.entries))
            .map_err(|problem| refuse_repository(Some(path), problem))?;
    }
    Ok(())
}

fn in_order<P: Ord>(previous: Option<&P>, path: &P) -> Result<(), RepositoryProblem> {
    if previous.is_none_or(|previous| previous < path) {
        Ok(())
    } else {
        Err(RepositoryProblem::Unsorted)
    }
}

/// The root is a directory without being an entry.
fn is_directory(path: Option<&TreePath>, entries: &[Entry]) -> Result<(), RepositoryProblem> {
    let Some(path) = path else { return Ok(()) };
    if find(entries, path).is_some_and(Entry::is_directory) {
        Ok(())
    } else {
        Err(RepositoryProblem::Directory)
    }
}

fn head(head: &Head, format: ObjectFormat) -> Result<(), RepositoryProblem> {
    head.oid().map_or(Ok(()), |oid| fits(&oid, format, || "HEAD".to_owned()))
}

fn refs(refs: &[(RefName, Oid)], format: ObjectFormat) -> Result<(), RepositoryProblem> {
    let mut previous: Option<&RefName> = None;
    for (name, oid) in refs {
        fits(oid, format, || name.to_string())?;
        if previous.replace(name).is_some_and(|previous| previous >= name) {
            return Err(RepositoryProblem::RefOrder(name.to_string()));
        }
    }
    Ok(())
}

fn in_progress(
    operations: &[(Operation, Vec<Oid>)],
    format: ObjectFormat,
) -> Result<(), RepositoryProblem> {
    if !operations.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err(RepositoryProblem::Operation);
    }
    operations
        .iter()
        .flat_map(|(operation, heads)| heads.iter().map(move |head| (operation, head)))
        .try_for_each(|(operation, head)| fits(head, format, || format!("{operation:?}")))
}

fn heads(operations: &[(Operation, Vec<Oid>)], limits: &Limits) -> Result<(), ManifestError> {
    operations.iter().try_for_each(|(_, heads)| at_most("heads", heads.len(), limits.heads_max))
}

fn index(entries: &[IndexEntry], format: ObjectFormat) -> Result<(), RepositoryProblem> {
    let mut previous: Option<&IndexEntry> = None;
    for entry in entries {
        let name = || entry.path.to_string();
        if entry.path.has_git_component() {
            return Err(RepositoryProblem::IndexPath(name()));
        }
        if !entry.has_valid_mode() || entry.stage > 3 {
            return Err(RepositoryProblem::IndexEntry(name()));
        }
        fits(&entry.oid, format, name)?;
        let after = |previous: &IndexEntry| previous.sort_key() < entry.sort_key();
        if !previous.replace(entry).is_none_or(after) {
            return Err(RepositoryProblem::IndexOrder(name()));
        }
    }
    Ok(())
}

fn fits(
    oid: &Oid,
    format: ObjectFormat,
    name: impl FnOnce() -> String,
) -> Result<(), RepositoryProblem> {
    if oid.format() == format { Ok(()) } else { Err(RepositoryProblem::Oid(name())) }
}

/// Adds to the bytes of content, within the limit.
pub(super) fn add_content(sum: u64, size: u64, limits: &Limits) -> Result<u64, ManifestError> {
    let limit = limits.content_bytes_max;
    let refused = ManifestError::TooMany { what: "bytes of content", limit };
    sum.checked_add(size).filter(|&sum| sum <= limit).ok_or(refused)
}

pub(super) fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), ManifestError> {
    if count <= limit {
        Ok(())
    } else {
        let limit = limit as u64;
        Err(ManifestError::TooMany { what, limit })
    }
}

pub(super) fn refuse_entry(path: &TreePath, problem: EntryProblem) -> ManifestError {
    ManifestError::Entry { path: path.to_string(), problem }
}

pub(super) fn refuse_session_entry(path: &TreePath, problem: EntryProblem) -> ManifestError {
    ManifestError::SessionEntry { path: path.to_string(), problem }
}

pub(super) fn refuse_repository(
    path: Option<&TreePath>,
    problem: RepositoryProblem,
) -> ManifestError {
    ManifestError::Repository {
        path: path.map_or_else(|| escaped(b"."), TreePath::to_string),
        problem,
    }
}
