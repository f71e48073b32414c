//! From manifests to the one encoding of each.

use prost::Message;
use prost::encoding::encode_varint;

use crate::chunk::ChunkRef;
use crate::manifest::entry::{Entry, Kind, Timestamp};
use crate::manifest::index::IndexEntry;
use crate::manifest::oid::{ObjectFormat, Oid};
use crate::manifest::ref_name::RefName;
use crate::manifest::repository::{Head, Operation, Repository, RepositoryState};
use crate::manifest::result::{RepositoryResult, ResultManifest};
use crate::manifest::snapshot::SnapshotManifest;
use crate::path::TreePath;
use crate::wire;

use super::{CHUNK_RECORD_LEN, number};

pub(in crate::manifest) fn encode_snapshot(manifest: &SnapshotManifest) -> Vec<u8> {
    let mut encoded = wire::StoredSnapshot {
        version: manifest.version,
        root: manifest.root.as_bytes().to_vec(),
        root_mode: manifest.root_mode,
        root_modified: Some(stored_time(manifest.root_mtime)),
        // Encoded one by one, so that no second copy of the tree is built.
        entries: Vec::new(),
        repositories: Vec::new(),
    }
    .encode_to_vec();
    for entry in &manifest.entries {
        put_field(&mut encoded, number::snapshot::ENTRIES, &stored_entry(entry));
    }
    for repository in &manifest.repositories {
        let stored = stored_repository(repository);
        put_field(&mut encoded, number::snapshot::REPOSITORIES, &stored);
    }
    encoded
}

pub(in crate::manifest) fn encode_result(manifest: &ResultManifest) -> Vec<u8> {
    let mut encoded = wire::StoredResult {
        version: manifest.version,
        base: manifest.base.as_bytes().to_vec(),
        root: manifest.root.as_bytes().to_vec(),
        entries: Vec::new(),
        repositories: Vec::new(),
        new_repositories: Vec::new(),
    }
    .encode_to_vec();
    for entry in &manifest.entries {
        put_field(&mut encoded, number::result::ENTRIES, &stored_entry(entry));
    }
    for repository in &manifest.repositories {
        let stored = stored_repository_result(repository);
        put_field(&mut encoded, number::result::REPOSITORIES, &stored);
    }
    for path in &manifest.new_repositories {
        put_bytes(&mut encoded, number::result::NEW_REPOSITORIES, path.as_bytes());
    }
    encoded
}

fn put_field(encoded: &mut Vec<u8>, number: u32, message: &impl Message) {
    put_length(encoded, number, message.encoded_len());
    message.encode(encoded).expect("a vector grows as needed");
}

fn put_bytes(encoded: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_length(encoded, number, bytes.len());
    encoded.extend_from_slice(bytes);
}

/// The key of a length-delimited field and its length.
fn put_length(encoded: &mut Vec<u8>, number: u32, len: usize) {
    encode_varint(u64::from(number << 3 | 2), encoded);
    encode_varint(len as u64, encoded);
}

fn stored_time(time: Timestamp) -> wire::StoredTime {
    wire::StoredTime { seconds: time.secs, nanoseconds: time.nanos }
}

fn stored_entry(entry: &Entry) -> wire::StoredEntry {
    use wire::stored_entry::Kind as StoredKind;
    let kind = match &entry.kind {
        Kind::File { size, chunks } => {
            StoredKind::File(wire::StoredFile { size: *size, chunks: pack_chunks(chunks) })
        }
        Kind::Directory => StoredKind::Directory(wire::StoredDirectory {}),
        Kind::Symlink { target } => StoredKind::SymlinkTarget(target.clone()),
    };
    wire::StoredEntry {
        path: entry.path.as_bytes().to_vec(),
        mode: entry.mode,
        modified: Some(stored_time(entry.mtime)),
        kind: Some(kind),
    }
}

fn pack_chunks(chunks: &[ChunkRef]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(chunks.len() * CHUNK_RECORD_LEN);
    for chunk in chunks {
        packed.extend_from_slice(chunk.id.as_bytes());
        packed.extend_from_slice(&chunk.size.to_le_bytes());
    }
    packed
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
