//! Takes in what a harvester wrote. Every byte is hostile until it is checked here.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use handoff_proto::bundle::{BundleError, BundleLimits, Item, Reader};
use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{
    ChangeKind, Entry, Head, Limits, ManifestError, ResultId, ResultManifest, Session,
    SnapshotManifest, differences,
};
use handoff_proto::path::{AbsolutePath, TreePath};
use thiserror::Error;

use crate::store::{BlobError, BlobStore, UserName};

/// How much a result may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestLimits {
    /// Of the manifest.
    pub manifest: Limits,
    /// Manifest and new chunks together in bytes.
    pub bundle_bytes_max: u64,
}

impl IngestLimits {
    /// The limits of a run that started from `base` and may use `disk_bytes` in addition.
    #[must_use]
    pub fn of_run(base: &SnapshotManifest, disk_bytes: u64) -> Self {
        let content = base.content_bytes().saturating_add(disk_bytes);
        let default = Limits::DEFAULT;
        let manifest =
            Limits { content_bytes_max: content.min(default.content_bytes_max), ..default };
        let manifest_bytes = u64::try_from(manifest.manifest_bytes_max).unwrap_or(u64::MAX);
        let bundle_bytes_max = manifest.content_bytes_max.saturating_add(manifest_bytes);
        Self { manifest, bundle_bytes_max }
    }
}

/// The session that a result may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedSession {
    /// The kind of agent.
    pub agent: String,
    /// The session's id.
    pub id: String,
    /// The agent's directory in the run's sandbox.
    pub directory: AbsolutePath,
}

/// A result that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HarvestOutcome {
    /// Its manifest, which is a blob under the same hash.
    pub result: ResultId,
    /// The branch that HEAD of the root's repository names, escaped; empty when detached or
    /// without git.
    pub branch: String,
    /// Files and links that only the result has.
    pub files_added: u64,
    /// Files and links that differ in kind, mode or content.
    pub files_modified: u64,
    /// Files and links that only the snapshot has.
    pub files_removed: u64,
}

/// A result is refused; nothing of it is stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HarvestError {
    /// The stream is no bundle, or not one with this manifest's chunks.
    #[error("harvest's output is refused")]
    Bundle(#[from] BundleError),
    /// It has no manifest.
    #[error("harvest's output holds no manifest")]
    NoManifest,
    /// The manifest breaks a rule or a limit.
    #[error("harvest's manifest is refused")]
    Manifest(#[from] ManifestError),
    /// It is the result of something else.
    #[error("harvest's manifest has another {0} than the run")]
    Foreign(&'static str),
    /// A repository that the snapshot has in another way or not at all.
    #[error("harvest's repository `{0}` is not as in the snapshot")]
    Repository(String),
    /// A chunk that is neither in the bundle nor in the snapshot.
    #[error("harvest lacks chunk {id} and {more} more")]
    Missing {
        /// One of them.
        id: ChunkId,
        /// How many there are besides.
        more: usize,
    },
    /// A chunk of the snapshot with another size.
    #[error("harvest gives chunk {0} of the snapshot another size")]
    Size(ChunkId),
    /// The store.
    #[error("cannot store the result")]
    Store(#[from] BlobError),
}

/// Stores a result for a user: the new chunks and the manifest, all or nothing. Blocks.
///
/// # Errors
///
/// Where a byte is not as it should be, or the store fails. Nothing is stored then.
pub fn ingest(
    stdout: impl BufRead,
    blobs: &dyn BlobStore,
    user: &UserName,
    base: &SnapshotManifest,
    session: Option<&ExpectedSession>,
    limits: &IngestLimits,
) -> Result<HarvestOutcome, HarvestError> {
    let manifest_max = u64::try_from(limits.manifest.manifest_bytes_max).unwrap_or(u64::MAX);
    let bundle_limits = BundleLimits::new(manifest_max, limits.bundle_bytes_max);
    let mut reader = Reader::new(stdout, bundle_limits);
    let encoded = match reader.next_item()? {
        Some(Item::Manifest(encoded)) => encoded,
        Some(Item::Chunk(_)) | None => return Err(HarvestError::NoManifest),
    };
    let manifest = ResultManifest::decode(&encoded, &limits.manifest)?;
    check_origin(&manifest, base)?;
    check_session(manifest.session.as_ref(), session)?;
    reader.expect(new_chunks(&manifest, base)?)?;
    let mut writer = blobs.writer(user);
    while let Some(item) = reader.next_item()? {
        match item {
            Item::Chunk(chunk) => writer.put_verified(chunk.as_ref())?,
            Item::Manifest(_) => return Err(HarvestError::NoManifest),
        }
    }
    let mut missing = reader.missing();
    if let Some(id) = missing.next() {
        return Err(HarvestError::Missing { id, more: missing.count() });
    }
    let result = ResultId::of(&encoded);
    writer.put(&ChunkId::from_bytes(*result.as_bytes()), &encoded)?;
    writer.commit()?;
    Ok(outcome(result, &manifest, base))
}

/// The result must be of this run: from its snapshot, at its root, with its repositories.
fn check_origin(manifest: &ResultManifest, base: &SnapshotManifest) -> Result<(), HarvestError> {
    if manifest.base != base.id() {
        return Err(HarvestError::Foreign("snapshot"));
    }
    if manifest.root != base.root {
        return Err(HarvestError::Foreign("root"));
    }
    let known: HashMap<Option<&TreePath>, _> = base
        .repositories
        .iter()
        .map(|repository| (repository.path.as_ref(), repository.state.object_format))
        .collect();
    let refuse = |path: Option<&TreePath>| {
        HarvestError::Repository(path.map_or_else(|| ".".to_owned(), TreePath::to_string))
    };
    for repository in &manifest.repositories {
        let path = repository.path.as_ref();
        if known.get(&path) != Some(&repository.object_format) {
            return Err(refuse(path));
        }
    }
    match manifest.new_repositories.iter().find(|path| known.contains_key(&Some(*path))) {
        Some(path) => Err(refuse(Some(path))),
        None => Ok(()),
    }
}

/// What it says of a session must be of the run's own.
fn check_session(
    session: Option<&Session>,
    expected: Option<&ExpectedSession>,
) -> Result<(), HarvestError> {
    let Some(session) = session else { return Ok(()) };
    let is_expected = expected.is_some_and(|expected| {
        (&session.agent, &session.id, &session.directory)
            == (&expected.agent, &expected.id, &expected.directory)
    });
    if is_expected { Ok(()) } else { Err(HarvestError::Foreign("session")) }
}

/// The chunks that the bundle must hold: those that the snapshot does not.
fn new_chunks(
    manifest: &ResultManifest,
    base: &SnapshotManifest,
) -> Result<Vec<ChunkRef>, HarvestError> {
    let known: HashMap<ChunkId, u32> = base.chunks().map(|chunk| (chunk.id, chunk.size)).collect();
    let mut seen = HashSet::new();
    let mut new = Vec::new();
    for chunk in manifest.chunks() {
        match known.get(&chunk.id) {
            Some(size) if *size == chunk.size => {}
            Some(_) => return Err(HarvestError::Size(chunk.id)),
            // Two sizes for one id are for the bundle's reader to refuse.
            None if seen.insert((chunk.id, chunk.size)) => new.push(chunk),
            None => {}
        }
    }
    Ok(new)
}

fn outcome(result: ResultId, manifest: &ResultManifest, base: &SnapshotManifest) -> HarvestOutcome {
    let root = manifest.repositories.iter().find(|repository| repository.path.is_none());
    let branch = match root.map(|repository| &repository.head) {
        Some(Head::Branch(name, _)) => name.branch().unwrap_or_default(),
        Some(Head::Detached(_)) | None => &[],
    };
    let mut outcome = HarvestOutcome {
        result,
        branch: handoff_proto::path::escaped(branch),
        files_added: 0,
        files_modified: 0,
        files_removed: 0,
    };
    for change in differences(&base.entries, &manifest.entries) {
        let is_file = |entry: Option<&Entry>| entry.is_some_and(|entry| !entry.is_directory());
        let counts = is_file(base.entry(&change.path)) || is_file(manifest.entry(&change.path));
        // A result never holds what belongs to git.
        if !counts || change.path.has_git_component() {
            continue;
        }
        match change.kind {
            ChangeKind::Added => outcome.files_added += 1,
            ChangeKind::Modified => outcome.files_modified += 1,
            ChangeKind::Removed => outcome.files_removed += 1,
        }
    }
    outcome
}
