//! Which of the two states of a record a tree is in.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use handoff_proto::chunk::CHUNK_SIZE_MAX;
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, MetaKind, lstat, open_regular, read_link};

use super::{TreeError, is_directory};
use crate::pull::journal::{Node, Record, Side, TreeStep};
use crate::pull::strangers::find_stranger;

/// Whether a path is exactly in this state; times do not count.
///
/// # Errors
///
/// Where it cannot be looked at.
pub fn is_in_state(
    root: BorrowedFd<'_>,
    path: &TreePath,
    state: Option<&Node>,
) -> Result<bool, FileError> {
    let found = match lstat(root, path) {
        Ok(found) => found,
        // A link stands where a directory was.
        Err(FileError::Indirect { .. }) => None,
        Err(error) => return Err(error),
    };
    match (found, state) {
        (None, None) => Ok(true),
        (None, Some(_)) | (Some(_), None) => Ok(false),
        (Some(meta), Some(Node::Directory { mode, .. })) => {
            Ok(meta.kind == MetaKind::Directory && meta.permissions() == *mode)
        }
        (Some(meta), Some(Node::Symlink { target, .. })) => {
            Ok(meta.kind == MetaKind::Symlink && read_link(root, path)? == target.0)
        }
        (Some(meta), Some(Node::File { mode, size, hash, .. })) => {
            let same =
                meta.kind == MetaKind::File && meta.permissions() == *mode && meta.size == *size;
            Ok(same && hash_of(root, path)? == hash.0)
        }
    }
}

/// The BLAKE3 of a file's content.
fn hash_of(root: BorrowedFd<'_>, path: &TreePath) -> Result<blake3::Hash, FileError> {
    let (mut file, _) = open_regular(root, path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK_SIZE_MAX];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(got) => _ = hasher.update(&buffer[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(FileError::Io { action: "read", path: path.to_string(), source });
            }
        }
    }
}

/// Whether a path may be there halfway from one side to the other: not there at all where the kind
/// changes, or a directory that is still writable.
///
/// # Errors
///
/// Where it cannot be looked at.
pub fn is_halfway(root: BorrowedFd<'_>, step: &TreeStep) -> Result<bool, FileError> {
    let found = match lstat(root, &step.path.0) {
        Ok(found) => found,
        Err(FileError::Indirect { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let sides = [step.before.as_ref(), step.after.as_ref()];
    Ok(match found {
        None => sides.iter().any(|side| side.is_none_or(Node::is_directory)),
        Some(meta) => {
            meta.kind == MetaKind::Directory
                && sides.iter().flatten().any(|side| side.is_directory())
        }
    })
}

/// Something that this record knows nothing of, in a directory that must become something else.
///
/// # Errors
///
/// Where the directory cannot be looked at.
pub fn stranger_in_the_way(
    root: BorrowedFd<'_>,
    record: &Record,
    to: Side,
) -> Result<Option<TreePath>, TreeError> {
    let known: BTreeSet<&TreePath> = record.tree.iter().map(|step| &step.path.0).collect();
    for step in &record.tree {
        let path = &step.path.0;
        let becomes_other = step.on(to).is_some_and(|node| !node.is_directory());
        if !becomes_other || !is_directory(root, path)? {
            continue;
        }
        let found = find_stranger(root, path, &|path| known.contains(path))
            .map_err(|source| TreeError::List { path: path.clone(), source })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
