//! From a snapshot's manifest and chunks to the tree that a run works in.
//!
//! Restart-safe by starting over: what an earlier attempt left is removed first, and what a failed
//! one left last. A workspace made here has files of its own, which works on every machine; their
//! blocks are shared where the file system can do that, see `originals`. Where the kernel can merge
//! directories, runs share a tree instead, see `trees`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use handoff_proto::manifest::{Entry, Kind, SnapshotManifest};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Writer};

use super::base::Base;
use super::content::Source;
use super::error::WorkspaceError;
use super::layout::Layout;
use super::originals::{OfUser, Originals};
use super::owner::Owner;
use super::remove::remove;
use super::snapshots::Snapshot;
use super::trees::build;
use crate::store::{BlobStore, UserName};

/// The harvest may run as another user than the daemon and reads what is in `base`.
const READABLE_DIRECTORY: u32 = 0o755;
const READABLE_FILE: u32 = 0o644;

/// Fills a run's workspace with exactly what the snapshot holds; with `originals`, larger files
/// share their blocks with these. Blocks.
///
/// # Errors
///
/// When the disk is full, a chunk is missing or damaged, or the system refuses. The workspace is
/// then removed, and so are the originals that were made for it.
pub fn materialise(
    blobs: &dyn BlobStore,
    user: &UserName,
    manifest: &SnapshotManifest,
    layout: &Layout,
    owner: Owner,
    originals: Option<&Originals>,
) -> Result<(), WorkspaceError> {
    let tree = layout.workspace();
    remove(&tree)?;
    let originals = originals.map(|originals| originals.of_user(user)).transpose()?;
    let source = Source { originals: originals.as_ref(), ..Source::new(blobs, user) };
    let Err(error) = write_tree(&source, manifest, &tree, owner) else { return Ok(()) };
    // The first failure is the one that tells something.
    drop(remove(&tree));
    originals.iter().for_each(OfUser::take_back);
    Err(explain(error, manifest, layout.run()))
}

fn write_tree(
    source: &Source<'_>,
    manifest: &SnapshotManifest,
    tree: &Path,
    owner: Owner,
) -> Result<(), WorkspaceError> {
    DirBuilder::new().mode(0o700).create(tree).map_err(WorkspaceError::make(tree))?;
    build::whole(source, manifest, Writer::open(tree, owner.for_tree())?)
}

/// Writes what a run's harvest compares with: the manifest, and each repository's index. Blocks.
///
/// # Errors
///
/// When the disk is full, a chunk is missing or damaged, or the system refuses.
pub fn write_base(
    blobs: &dyn BlobStore,
    user: &UserName,
    snapshot: &Snapshot,
    layout: &Layout,
) -> Result<(), WorkspaceError> {
    let (source, manifest, base) = (Source::new(blobs, user), &snapshot.manifest, layout.base());
    remove(base.directory())?;
    write_base_at(&source, snapshot, &base).map_err(|error| explain(error, manifest, layout.run()))
}

fn write_base_at(
    source: &Source<'_>,
    snapshot: &Snapshot,
    base: &Base,
) -> Result<(), WorkspaceError> {
    let manifest = &snapshot.manifest;
    readable_directory(base.directory())?;
    readable_file(&base.manifest(), &snapshot.encoded)?;
    // Where each run's own are shown.
    readable_directory(base.rules().directory())?;
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
pub(super) fn explain(
    error: WorkspaceError,
    manifest: &SnapshotManifest,
    directory: &Path,
) -> WorkspaceError {
    let cause = match &error {
        WorkspaceError::Tree(FileError::Io { source, .. })
        | WorkspaceError::Make { source, .. } => source.kind(),
        _ => return error,
    };
    if !matches!(cause, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return error;
    }
    WorkspaceError::DiskFull {
        directory: directory.to_owned(),
        needed_bytes: manifest.content_bytes(),
    }
}
