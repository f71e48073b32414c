//! Keeps what is at a path and says what will be there.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use handoff_proto::chunk::{ChunkRef, chunk_reader};
use handoff_proto::manifest::{Entry as TreeEntry, Kind, Timestamp};
use handoff_proto::tree::{FileError, MetaKind, lstat, open_regular, read_link};

use super::PrepareError;
use crate::pull::chunks::{ChunkError, Chunks};
use crate::pull::journal::{Keeper, Node, Text, TreeStep};
use crate::pull::plan::TreeChange;

pub(super) fn tree_step(
    root: BorrowedFd<'_>,
    change: &TreeChange,
    chunks: &Chunks,
    keeper: &mut Keeper,
) -> Result<TreeStep, PrepareError> {
    let path = &change.path;
    let same_content = match (&change.before, &change.after) {
        (Some(before), Some(after)) => before.kind == after.kind,
        (_, _) => false,
    };
    let place = keeper.place();
    let keeper = if same_content { None } else { Some(keeper) };
    let before = match &change.before {
        Some(before) => Some(keep_node(root, before, keeper)?),
        None => match lstat(root, path) {
            // Nothing is beneath a link, which becomes a directory first.
            Ok(None) | Err(FileError::Indirect { .. }) => None,
            Ok(Some(_)) => return Err(PrepareError::Changed(path.clone())),
            Err(error) => return Err(error.into()),
        },
    };
    let after = match (&change.after, &before) {
        (Some(after), Some(Node::File { hash, .. })) if same_content => {
            Some(new_node(after, || Ok(hash.0))?)
        }
        (Some(after), _) => Some(new_node(after, || hash_of(chunks, after.chunks()))?),
        (None, _) => None,
    };
    let is_kept = !same_content && matches!(before, Some(Node::File { .. }));
    Ok(TreeStep { path: Text(path.clone()), before, after, kept: is_kept.then_some(place) })
}

/// Makes sure that a path is as it was captured and copies its content.
pub(in crate::pull) fn keep_node(
    root: BorrowedFd<'_>,
    before: &TreeEntry,
    keeper: Option<&mut Keeper>,
) -> Result<Node, PrepareError> {
    let path = &before.path;
    let changed = || PrepareError::Changed(path.clone());
    let meta = lstat(root, path)?.ok_or_else(changed)?;
    let mtime = (meta.mtime.secs, meta.mtime.nanos);
    match &before.kind {
        Kind::Directory
            if meta.kind == MetaKind::Directory && meta.permissions() == before.mode =>
        {
            Ok(Node::Directory { mode: before.mode, mtime })
        }
        Kind::Symlink { target }
            if meta.kind == MetaKind::Symlink && read_link(root, path)? == *target =>
        {
            Ok(Node::Symlink { target: Text(target.clone()), mtime })
        }
        Kind::File { size, chunks }
            if meta.kind == MetaKind::File && meta.permissions() == before.mode =>
        {
            let (file, opened) = open_regular(root, path)?;
            let failed = |source| PrepareError::Keep { path: path.clone(), source };
            let (hash, found) = copy(file, keeper).map_err(failed)?;
            if found != *chunks || opened.inode != meta.inode {
                return Err(changed());
            }
            Ok(Node::File { mode: before.mode, mtime, size: *size, hash: Text(hash) })
        }
        Kind::Directory | Kind::Symlink { .. } | Kind::File { .. } => Err(changed()),
    }
}

/// Copies a file and says what it holds.
fn copy(file: File, mut keeper: Option<&mut Keeper>) -> io::Result<(blake3::Hash, Vec<ChunkRef>)> {
    let mut hasher = blake3::Hasher::new();
    let mut found = Vec::new();
    chunk_reader(file, |chunk, content| {
        found.push(chunk);
        hasher.update(content);
        keeper.as_mut().map_or(Ok(()), |keeper| keeper.append(content))
    })?;
    Ok((hasher.finalize(), found))
}

fn new_node(
    after: &TreeEntry,
    hash: impl FnOnce() -> Result<blake3::Hash, ChunkError>,
) -> Result<Node, ChunkError> {
    let Timestamp { secs, nanos } = after.mtime;
    let (mode, mtime) = (after.mode, (secs, nanos));
    Ok(match &after.kind {
        Kind::Directory => Node::Directory { mode, mtime },
        Kind::Symlink { target } => Node::Symlink { target: Text(target.clone()), mtime },
        Kind::File { size, .. } => Node::File { mode, mtime, size: *size, hash: Text(hash()?) },
    })
}

fn hash_of(chunks: &Chunks, content: &[ChunkRef]) -> Result<blake3::Hash, ChunkError> {
    if let [only] = content {
        // The id of the only chunk is the hash of the whole, and the chunk must be there.
        return if chunks.has(&only.id) {
            Ok(blake3::Hash::from_bytes(*only.id.as_bytes()))
        } else {
            Err(ChunkError::Missing(only.id))
        };
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut reader = chunks.reader(content);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            got => _ = hasher.update(&buffer[..got]),
        }
    }
}
