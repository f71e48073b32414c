//! From manifests to the one encoding of each.

use prost::Message;

use crate::manifest::entry::Timestamp;
use crate::manifest::index::IndexEntry;
use crate::manifest::oid::{ObjectFormat, Oid};
use crate::manifest::ref_name::RefName;
use crate::manifest::repository::{Head, Operation, Repository, RepositoryState};
use crate::manifest::result::{RepositoryResult, ResultManifest};
use crate::manifest::snapshot::SnapshotManifest;
use crate::path::TreePath;
use crate::wire;

use super::number;
use super::record::{pack_chunks, put_bytes, put_entry, put_length};
use super::session;

/// Hands the encoding out piece by piece, in order: the header, then one field after the other.
/// A piece is valid until the next one, so that neither writing nor comparing a manifest needs a
/// second copy of it.
pub(in crate::manifest) fn snapshot_pieces(
    manifest: &SnapshotManifest,
    mut piece: impl FnMut(&[u8]),
) {
    let header = wire::StoredSnapshot {
        version: manifest.version,
        root: manifest.root.as_bytes().to_vec(),
        root_mode: manifest.root_mode,
        root_modified: Some(stored_time(manifest.root_mtime)),
        entries: Vec::new(),
        repositories: Vec::new(),
        session: None,
    };
    piece(&header.encode_to_vec());
    let mut field = Vec::new();
    for entry in &manifest.entries {
        put_entry(&mut field, number::snapshot::ENTRIES, entry);
        piece(&field);
    }
    for repository in &manifest.repositories {
        let stored = stored_repository(repository);
        put_message(&mut field, number::snapshot::REPOSITORIES, &stored);
        piece(&field);
    }
    if let Some(session) = &manifest.session {
        piece(&session::field(number::snapshot::SESSION, session));
    }
}

/// The same for a result.
pub(in crate::manifest) fn result_pieces(manifest: &ResultManifest, mut piece: impl FnMut(&[u8])) {
    let header = wire::StoredResult {
        version: manifest.version,
        base: manifest.base.as_bytes().to_vec(),
        root: manifest.root.as_bytes().to_vec(),
        entries: Vec::new(),
        repositories: Vec::new(),
        new_repositories: Vec::new(),
        session: None,
    };
    piece(&header.encode_to_vec());
    let mut field = Vec::new();
    for entry in &manifest.entries {
        put_entry(&mut field, number::result::ENTRIES, entry);
        piece(&field);
    }
    for repository in &manifest.repositories {
        let stored = stored_repository_result(repository);
        put_message(&mut field, number::result::REPOSITORIES, &stored);
        piece(&field);
    }
    for path in &manifest.new_repositories {
        field.clear();
        put_bytes(&mut field, number::result::NEW_REPOSITORIES, path.as_bytes());
        piece(&field);
    }
    if let Some(session) = &manifest.session {
        piece(&session::field(number::result::SESSION, session));
    }
}

/// Puts one field that holds a message in the place of what was there.
fn put_message(field: &mut Vec<u8>, number: u32, message: &impl Message) {
    field.clear();
    put_length(field, number, message.encoded_len());
    message.encode(field).expect("a vector grows as needed");
}

fn stored_time(time: Timestamp) -> wire::StoredTime {
    wire::StoredTime { seconds: time.secs, nanoseconds: time.nanos }
}

/// The root is an empty path.
fn stored_path(path: Option<&TreePath>) -> Vec<u8> {
    path.map_or_else(Vec::new, |path| path.as_bytes().to_vec())
}

fn stored_repository(repository: &Repository) -> wire::StoredRepository {
    wire::StoredRepository {
        path: stored_path(repository.path.as_ref()),
        git_directory: repository.git_dir.as_bytes().to_vec(),
        state: Some(stored_state(&repository.state)),
    }
}

fn stored_state(state: &RepositoryState) -> wire::StoredRepositoryState {
    wire::StoredRepositoryState {
        object_format: stored_format(state.object_format).into(),
        head: Some(stored_head(&state.head)),
        refs: state.refs.iter().map(stored_ref).collect(),
        index_digest: state.index_digest.to_vec(),
        in_progress: state.in_progress.iter().map(stored_operation).collect(),
    }
}

fn stored_repository_result(repository: &RepositoryResult) -> wire::StoredRepositoryResult {
    wire::StoredRepositoryResult {
        path: stored_path(repository.path.as_ref()),
        object_format: stored_format(repository.object_format).into(),
        head: Some(stored_head(&repository.head)),
        refs: repository.refs.iter().map(stored_ref).collect(),
        index: repository.index.iter().map(IndexEntry::to_stored).collect(),
        in_progress: repository.in_progress.iter().map(stored_operation).collect(),
        pack: pack_chunks(&repository.pack),
    }
}

fn stored_format(format: ObjectFormat) -> wire::StoredObjectFormat {
    match format {
        ObjectFormat::Sha1 => wire::StoredObjectFormat::Sha1,
        ObjectFormat::Sha256 => wire::StoredObjectFormat::Sha256,
    }
}

fn stored_head(head: &Head) -> wire::StoredHead {
    let (branch, oid) = match head {
        Head::Branch(name, oid) => (name.as_bytes().to_vec(), *oid),
        Head::Detached(oid) => (Vec::new(), Some(*oid)),
    };
    wire::StoredHead { branch, oid: oid.map_or_else(Vec::new, |oid| oid.as_bytes().to_vec()) }
}

fn stored_ref((name, oid): &(RefName, Oid)) -> wire::StoredRef {
    wire::StoredRef { name: name.as_bytes().to_vec(), oid: oid.as_bytes().to_vec() }
}

fn stored_operation((operation, heads): &(Operation, Vec<Oid>)) -> wire::StoredOperation {
    let kind = match operation {
        Operation::Merge => wire::StoredOperationKind::Merge,
        Operation::CherryPick => wire::StoredOperationKind::CherryPick,
        Operation::Revert => wire::StoredOperationKind::Revert,
        Operation::Rebase => wire::StoredOperationKind::Rebase,
        Operation::Bisect => wire::StoredOperationKind::Bisect,
    };
    wire::StoredOperation {
        kind: kind.into(),
        heads: heads.iter().flat_map(Oid::as_bytes).copied().collect(),
    }
}
