//! Writes a tree or a layer where nothing is yet.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use handoff_proto::manifest::{Kind, SnapshotManifest};
use handoff_proto::path::TreePath;
use handoff_proto::tree::Writer;
use rustix::fs::{FileType, Mode, OFlags, XattrFlags, fsetxattr, mknodat, open, openat};

use super::layer::{Below, Layer};
use super::take::Taken;
use crate::workspace::content::Source;
use crate::workspace::error::WorkspaceError;

/// Marks a directory that hides what is below it.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Writes the whole tree beneath an empty directory.
pub(in crate::workspace) fn whole(
    source: &Source<'_>,
    manifest: &SnapshotManifest,
    mut writer: Writer,
) -> Result<(), WorkspaceError> {
    for entry in &manifest.entries {
        match &entry.kind {
            Kind::Directory => writer.directory(&entry.path, entry.mode, entry.mtime)?,
            Kind::Symlink { target } => writer.symlink(&entry.path, target, entry.mtime),
            Kind::File { .. } => {}
        }
    }
    let is_file = |kind: &Kind| matches!(kind, Kind::File { .. });
    let files: Vec<_> = manifest.entries.iter().filter(|entry| is_file(&entry.kind)).collect();
    source.write(&files, &writer)?;
    writer.root_directory(manifest.root_mode, manifest.root_mtime);
    Ok(writer.finish()?)
}

/// Writes a layer beneath an empty directory of root's, in the form that the kernel merges.
pub(super) fn layer(
    source: &Source<'_>,
    layer: &Layer<'_>,
    taken: Taken<'_>,
    manifest: &SnapshotManifest,
    directory: &Path,
) -> Result<(), WorkspaceError> {
    let mut writer = Writer::open(directory, None)?;
    for (entry, _) in layer.directories.values() {
        writer.directory(&entry.path, entry.mode, entry.mtime)?;
    }
    mark(layer, directory).map_err(WorkspaceError::make(directory))?;
    taken.move_into(source, directory)?;
    source.write(&layer.files, &writer)?;
    for entry in &layer.symlinks {
        if let Kind::Symlink { target } = &entry.kind {
            writer.symlink(&entry.path, target, entry.mtime);
        }
    }
    writer.root_directory(manifest.root_mode, manifest.root_mtime);
    Ok(writer.finish()?)
}

/// Says what hides what. Paths lead over directories that were made just now, and nothing else.
fn mark(layer: &Layer<'_>, directory: &Path) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top: File = open(directory, flags, Mode::empty())?.into();
    for (path, (_, below)) in &layer.directories {
        if *below == Below::Hidden {
            let made = openat(top.as_fd(), path.as_os_path(), flags, Mode::empty())?;
            fsetxattr(&made, OPAQUE, b"y", XattrFlags::empty())?;
        }
    }
    let hide = |path: &TreePath| {
        mknodat(top.as_fd(), path.as_os_path(), FileType::CharacterDevice, Mode::empty(), 0)
    };
    Ok(layer.removed.iter().try_for_each(|path| hide(path))?)
}
