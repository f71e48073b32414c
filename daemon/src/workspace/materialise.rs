//! From a snapshot's manifest and chunks to the tree that a run works in.
//!
//! Restart-safe by starting over: what an earlier attempt left is removed first, and what a failed
//! one left last. This is the one function that knows that a workspace is a plain copy; a backend
//! that shares what does not change takes its place here.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use handoff_proto::chunk::ChunkRef;
use handoff_proto::manifest::{Entry, Kind, SnapshotManifest};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Writer};

use super::error::WorkspaceError;
use super::layout::Layout;
use super::owner::Owner;
use super::remove::remove;
use crate::store::{BlobStore, UserName};

/// Threads that write files: one waits for the disk while the other decompresses and hashes.
const WRITERS: usize = 2;

/// The harvest runs as another user than a root daemon and reads what is in `base`.
const READABLE_DIRECTORY: u32 = 0o755;
const READABLE_FILE: u32 = 0o644;

/// Fills a run's workspace with exactly what the snapshot holds. Blocks.
///
/// # Errors
///
/// When the disk is full, a chunk is missing or damaged, or the system refuses. The workspace is
/// then removed.
pub fn materialise(
    blobs: &dyn BlobStore,
    user: &UserName,
    manifest: &SnapshotManifest,
    layout: &Layout,
    owner: Owner,
) -> Result<(), WorkspaceError> {
    let tree = layout.workspace();
    remove(&tree)?;
    remove(layout.base().directory())?;
    let source = Source { blobs, user };
    let written = write_tree(&source, manifest, &tree, owner)
        .and_then(|()| write_base(&source, manifest, layout));
    let Err(error) = written else { return Ok(()) };
    // The first failure is the one that tells something.
    drop(remove(&tree));
    drop(remove(layout.base().directory()));
    Err(explain(error, manifest, layout))
}

/// One user's chunks.
struct Source<'a> {
    blobs: &'a dyn BlobStore,
    user: &'a UserName,
}

impl Source<'_> {
    fn read(&self, chunk: &ChunkRef) -> io::Result<bytes::Bytes> {
        let bytes = self.blobs.read_blocking(self.user, &chunk.id).map_err(io::Error::other)?;
        // The store has checked the hash; a size that differs would be the manifest's lie.
        if bytes.len() == chunk.size as usize {
            Ok(bytes)
        } else {
            Err(io::Error::other(format!("chunk {} has {} bytes", chunk.id, bytes.len())))
        }
    }
}

fn write_tree(
    source: &Source<'_>,
    manifest: &SnapshotManifest,
    tree: &Path,
    owner: Owner,
) -> Result<(), WorkspaceError> {
    DirBuilder::new().mode(0o700).create(tree).map_err(WorkspaceError::make(tree))?;
    let mut writer = Writer::open(tree, owner.for_tree())?;
    for entry in &manifest.entries {
        match &entry.kind {
            Kind::Directory => writer.directory(&entry.path, entry.mode, entry.mtime)?,
            Kind::Symlink { target } => writer.symlink(&entry.path, target, entry.mtime),
            Kind::File { .. } => {}
        }
    }
    write_files(source, &manifest.entries, &writer)?;
    writer.root_directory(manifest.root_mode, manifest.root_mtime);
    Ok(writer.finish()?)
}

/// Writes all files; the first failure ends it.
fn write_files(source: &Source<'_>, entries: &[Entry], writer: &Writer) -> Result<(), FileError> {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            if matches!(entry.kind, Kind::File { .. }) {
                let chunks = entry.chunks().iter().map(|chunk| source.read(chunk));
                let written = writer.file_from_chunks(&entry.path, entry.mode, entry.mtime, chunks);
                if let Err(error) = written {
                    next.store(entries.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (1..WRITERS).map(|_| scope.spawn(work)).collect();
        let own = work();
        workers.into_iter().fold(own, |result, worker| {
            let other = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result.and(other)
        })
    })
}

/// Keeps what the harvest compares with: the manifest, and each repository's index.
fn write_base(
    source: &Source<'_>,
    manifest: &SnapshotManifest,
    layout: &Layout,
) -> Result<(), WorkspaceError> {
    let base = layout.base();
    readable_directory(base.directory())?;
    readable_file(&base.manifest(), &manifest.encode())?;
    for (number, repository) in manifest.repositories.iter().enumerate() {
        let directory = base.git(number);
        readable_directory(&base.directory().join("git"))?;
        readable_directory(&directory)?;
        for entry in index_files(manifest, &repository.git_dir) {
            let mut content = Vec::new();
            let path = directory.join(
                TreePath::parse(entry.path.file_name())
                    .map_or_else(|_| "index".into(), |name| name.as_os_path().to_owned()),
            );
            for chunk in entry.chunks() {
                content.extend(source.read(chunk).map_err(WorkspaceError::make(&path))?);
            }
            readable_file(&path, &content)?;
        }
    }
    Ok(())
}

/// The files in a git directory that make up its index.
fn index_files<'a>(
    manifest: &'a SnapshotManifest,
    git_dir: &'a TreePath,
) -> impl Iterator<Item = &'a Entry> {
    let place = manifest.entries.partition_point(|entry| entry.path <= *git_dir);
    manifest.entries[place..].iter().take_while(|entry| entry.path.starts_with(git_dir)).filter(
        move |entry| {
            let is_index = |name: &[u8]| name == b"index" || name.starts_with(b"sharedindex.");
            matches!(entry.kind, Kind::File { .. })
                && entry.path.parent().as_ref() == Some(git_dir)
                && is_index(entry.path.file_name())
        },
    )
}

fn readable_directory(path: &Path) -> Result<(), WorkspaceError> {
    let make = || {
        DirBuilder::new().recursive(true).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(READABLE_DIRECTORY))
    };
    make().map_err(WorkspaceError::make(path))
}

fn readable_file(path: &Path, content: &[u8]) -> Result<(), WorkspaceError> {
    let make = || {
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(READABLE_FILE))
    };
    make().map_err(WorkspaceError::make(path))
}

/// Says "disk full" whatever it was that met the end of it.
fn explain(error: WorkspaceError, manifest: &SnapshotManifest, layout: &Layout) -> WorkspaceError {
    let cause = match &error {
        WorkspaceError::Tree(FileError::Io { source, .. })
        | WorkspaceError::Make { source, .. } => source.kind(),
        _ => return error,
    };
    if !matches!(cause, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return error;
    }
    WorkspaceError::DiskFull {
        directory: layout.run().to_owned(),
        needed_bytes: manifest.entries.iter().map(Entry::size).sum(),
    }
}
