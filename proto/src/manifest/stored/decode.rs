//! From untrusted bytes to manifests whose parts are valid; how they fit together is checked after.

use prost::Message;

use crate::manifest::check::{at_most, refuse_repository};
use crate::manifest::error::{ManifestError, RepositoryProblem};
use crate::manifest::id::SnapshotId;
use crate::manifest::limits::Limits;
use crate::manifest::parallel;
use crate::manifest::repository::{Repository, RepositoryState};
use crate::manifest::result::{RepositoryResult, ResultManifest};
use crate::manifest::snapshot::SnapshotManifest;
use crate::path::{AbsolutePath, TreePath};
use crate::wire;

use super::fields::{Field, each_field};
use super::number;
use super::{parts, record, session, shown};

/// What may still come, over all repositories of a manifest.
struct Budget<'a> {
    limits: &'a Limits,
    refs: usize,
    index_entries: usize,
}

impl<'a> Budget<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, refs: 0, index_entries: 0 }
    }

    fn add_ref(&mut self) -> Result<(), ManifestError> {
        self.refs += 1;
        at_most("references", self.refs, self.limits.refs_max)
    }

    fn add_index_entry(&mut self) -> Result<(), ManifestError> {
        self.index_entries += 1;
        let limit = self.limits.index_entries_max;
        at_most("index entries", self.index_entries, limit)
    }
}

pub(in crate::manifest) fn decode_snapshot(
    bytes: &[u8],
    limits: &Limits,
) -> Result<SnapshotManifest, ManifestError> {
    check_size(bytes, limits)?;
    let mut entries: Vec<&[u8]> = Vec::new();
    let mut repositories = Vec::new();
    let mut session = None;
    let mut budget = Budget::new(limits);
    let header: wire::StoredSnapshot = decode_rest(bytes, |field| match field.number {
        number::snapshot::ENTRIES => {
            at_most("entries", entries.len() + 1, limits.entries_max)?;
            entries.push(field.bytes()?);
            Ok(Taken::Yes)
        }
        number::snapshot::REPOSITORIES => {
            at_most("repositories", repositories.len() + 1, limits.repositories_max)?;
            repositories.push(repository(field.bytes()?, &mut budget)?);
            Ok(Taken::Yes)
        }
        number::snapshot::SESSION => {
            session = Some(session::decode(field.bytes()?, limits)?);
            Ok(Taken::Yes)
        }
        _ => Ok(Taken::No),
    })?;
    Ok(SnapshotManifest {
        version: known_version(header.version)?,
        root: root(&header.root)?,
        root_mode: header.root_mode,
        root_mtime: parts::time(header.root_modified.unwrap_or_default()),
        entries: parallel::each(&entries, |entry| record::entry(entry))?,
        repositories,
        session,
    })
}

pub(in crate::manifest) fn decode_result(
    bytes: &[u8],
    limits: &Limits,
) -> Result<ResultManifest, ManifestError> {
    check_size(bytes, limits)?;
    let mut entries: Vec<&[u8]> = Vec::new();
    let mut repositories = Vec::new();
    let mut new_repositories = Vec::new();
    let mut session = None;
    let mut budget = Budget::new(limits);
    let header: wire::StoredResult = decode_rest(bytes, |field| match field.number {
        number::result::ENTRIES => {
            at_most("entries", entries.len() + 1, limits.entries_max)?;
            entries.push(field.bytes()?);
            Ok(Taken::Yes)
        }
        number::result::REPOSITORIES => {
            at_most("repositories", repositories.len() + 1, limits.repositories_max)?;
            repositories.push(repository_result(field.bytes()?, &mut budget)?);
            Ok(Taken::Yes)
        }
        number::result::NEW_REPOSITORIES => {
            let count = new_repositories.len() + 1;
            at_most("new repositories", count, limits.repositories_max)?;
            new_repositories.push(repository_path(field.bytes()?)?);
            Ok(Taken::Yes)
        }
        number::result::SESSION => {
            session = Some(session::decode(field.bytes()?, limits)?);
            Ok(Taken::Yes)
        }
        _ => Ok(Taken::No),
    })?;
    Ok(ResultManifest {
        version: known_version(header.version)?,
        base: SnapshotId::from_bytes(
            header.base.as_slice().try_into().map_err(|_| ManifestError::Base)?,
        ),
        root: root(&header.root)?,
        entries: parallel::each(&entries, |entry| record::entry(entry))?,
        repositories,
        new_repositories,
        session,
    })
}

/// Whether a visitor has dealt with a field.
pub(super) enum Taken {
    Yes,
    No,
}

/// Shows every field to `take` and decodes the message that those it leaves make up.
pub(super) fn decode_rest<'a, M: Message + Default>(
    bytes: &'a [u8],
    mut take: impl FnMut(&Field<'a>) -> Result<Taken, ManifestError>,
) -> Result<M, ManifestError> {
    let mut rest = Vec::new();
    each_field(bytes, |field| {
        if matches!(take(&field)?, Taken::No) {
            rest.extend_from_slice(field.encoded);
        }
        Ok(())
    })?;
    decode(&rest)
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, ManifestError> {
    M::decode(bytes).map_err(|error| ManifestError::Malformed(error.to_string()))
}

fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), ManifestError> {
    let (size, limit) = (bytes.len(), limits.manifest_bytes_max);
    if size <= limit { Ok(()) } else { Err(ManifestError::TooLarge { size, limit }) }
}

/// Refuses what a newer program wrote before its content is judged by the rules of this version.
fn known_version(version: u32) -> Result<u32, ManifestError> {
    crate::manifest::check::known_version(version).map(|()| version)
}

fn root(path: &[u8]) -> Result<AbsolutePath, ManifestError> {
    AbsolutePath::parse(path).map_err(ManifestError::Root)
}

fn repository_path(path: &[u8]) -> Result<TreePath, ManifestError> {
    TreePath::parse(path)
        .map_err(|problem| ManifestError::Repository { path: shown(path), problem: problem.into() })
}

/// Empty is the root.
fn optional_path(path: &[u8]) -> Result<Option<TreePath>, ManifestError> {
    if path.is_empty() { Ok(None) } else { repository_path(path).map(Some) }
}

fn repository(bytes: &[u8], budget: &mut Budget<'_>) -> Result<Repository, ManifestError> {
    let mut encoded_state = None;
    let stored: wire::StoredRepository = decode_rest(bytes, |field| match field.number {
        number::repository::STATE => {
            encoded_state = Some(field.bytes()?.to_vec());
            Ok(Taken::Yes)
        }
        _ => Ok(Taken::No),
    })?;
    let path = optional_path(&stored.path)?;
    let refuse = |problem| refuse_repository(path.as_ref(), problem);
    let encoded_state = encoded_state.ok_or_else(|| refuse(RepositoryProblem::NoState))?;
    let git_dir =
        TreePath::parse(&stored.git_directory).map_err(|problem| refuse(problem.into()))?;
    let state = state(&encoded_state, path.as_ref(), budget)?;
    Ok(Repository { path, git_dir, state })
}

fn state(
    bytes: &[u8],
    path: Option<&TreePath>,
    budget: &mut Budget<'_>,
) -> Result<RepositoryState, ManifestError> {
    let refuse = |problem| refuse_repository(path, problem);
    let heads_max = budget.limits.heads_max;
    let mut refs = Vec::new();
    let mut in_progress = Vec::new();
    let stored: wire::StoredRepositoryState = decode_rest(bytes, |field| match field.number {
        number::state::REFS => {
            budget.add_ref()?;
            refs.push(parts::named_oid(decode(field.bytes()?)?).map_err(refuse)?);
            Ok(Taken::Yes)
        }
        number::state::IN_PROGRESS => {
            at_most("operations in progress", in_progress.len() + 1, heads_max)?;
            in_progress.push(decode(field.bytes()?)?);
            Ok(Taken::Yes)
        }
        _ => Ok(Taken::No),
    })?;
    let object_format = parts::format(stored.object_format).map_err(refuse)?;
    Ok(RepositoryState {
        object_format,
        head: parts::head(stored.head).map_err(refuse)?,
        refs,
        index_digest: stored
            .index_digest
            .try_into()
            .map_err(|_| refuse(RepositoryProblem::IndexDigest))?,
        in_progress: parts::operations(in_progress, object_format).map_err(refuse)?,
    })
}

fn repository_result(
    bytes: &[u8],
    budget: &mut Budget<'_>,
) -> Result<RepositoryResult, ManifestError> {
    let heads_max = budget.limits.heads_max;
    let mut refs = Vec::new();
    let mut index = Vec::new();
    let mut in_progress = Vec::new();
    // Fields come in order in a canonical encoding, so that the path would be known by now; but
    // only decoding the rest tells, and problems name the path.
    let mut problem = None;
    let mut keep = |result: Result<(), RepositoryProblem>| {
        if let Err(found) = result {
            problem.get_or_insert(found);
        }
    };
    let stored: wire::StoredRepositoryResult = decode_rest(bytes, |field| match field.number {
        number::repository_result::REFS => {
            budget.add_ref()?;
            keep(parts::named_oid(decode(field.bytes()?)?).map(|named| refs.push(named)));
            Ok(Taken::Yes)
        }
        number::repository_result::INDEX => {
            budget.add_index_entry()?;
            keep(parts::index_entry(decode(field.bytes()?)?).map(|entry| index.push(entry)));
            Ok(Taken::Yes)
        }
        number::repository_result::IN_PROGRESS => {
            at_most("operations in progress", in_progress.len() + 1, heads_max)?;
            in_progress.push(decode(field.bytes()?)?);
            Ok(Taken::Yes)
        }
        _ => Ok(Taken::No),
    })?;
    let path = optional_path(&stored.path)?;
    let refuse = |problem| refuse_repository(path.as_ref(), problem);
    problem.map_or(Ok(()), |problem| Err(refuse(problem)))?;
    let object_format = parts::format(stored.object_format).map_err(refuse)?;
    let head = parts::head(stored.head).map_err(refuse)?;
    let pack = record::unpack_chunks(&stored.pack)
        .map_err(|problem| refuse(RepositoryProblem::Pack(problem)))?;
    let in_progress = parts::operations(in_progress, object_format).map_err(refuse)?;
    Ok(RepositoryResult { path, object_format, head, refs, index, in_progress, pack })
}
