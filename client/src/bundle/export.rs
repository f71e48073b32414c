//! Writes a full bundle.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use handoff_proto::bundle::{BundleError, Writer};
use handoff_proto::manifest::{Entry, SnapshotManifest};

use super::stop::Wanted;
use crate::capture::{Capture, ChangedSince};

/// Compression of what is kept: a file is written once and may travel often.
const LEVEL: i32 = 6;

/// The tree was not exported; no file is left behind.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file cannot be made.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something has that name already.
    #[error("{path} exists already")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The bundle cannot be written to its end.
    #[error("cannot write the bundle")]
    Write(#[source] BundleError),
    /// The tree is no longer what was captured.
    #[error("cannot export the tree as it was captured")]
    Changed(#[source] ChangedSince),
}

/// Writes a full bundle; `on_written` is told the plain bytes of each chunk. Blocks.
///
/// # Errors
///
/// Where writing fails or the tree has changed since; what was written so far is then no bundle.
pub fn export<W: Write>(
    capture: &Capture,
    output: W,
    on_written: &dyn Fn(u64),
) -> Result<W, ExportError> {
    let mut writer = Writer::new(output, LEVEL).map_err(ExportError::Write)?;
    writer.manifest(&capture.encoded).map_err(ExportError::Write)?;
    let wanted = capture.manifest.chunks().map(|chunk| chunk.id).collect();
    let mut chunks = capture.verified_chunks(wanted);
    while let Some((id, content)) = chunks.next_chunk().map_err(ExportError::Changed)? {
        writer.chunk(&id, content).map_err(ExportError::Write)?;
        on_written(content.len() as u64);
    }
    writer.finish().map_err(ExportError::Write)
}

/// Writes a full bundle into a file that appears when it is complete and durable, readable for its
/// owner only. Blocks.
///
/// # Errors
///
/// Where something has that name already, or as [`export`]; then there is no file.
pub fn export_to_file(
    capture: &Capture,
    path: &Path,
    wanted: &Wanted,
    on_written: &dyn Fn(u64),
) -> Result<u64, ExportError> {
    let failed = |source| ExportError::File { path: path.to_owned(), source };
    let exists = || ExportError::Exists { path: path.to_owned() };
    // Sooner said than after minutes of work; what counts is the end.
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // Private from the beginning: it holds everything that is not committed, too.
    let file = tempfile::Builder::new()
        .prefix(".handoff-export-")
        .tempfile_in(directory)
        .map_err(failed)?;
    let writer = export(capture, BufWriter::new(wanted.through(file)), on_written)?;
    let file = writer.into_inner().map_err(|error| failed(error.into_error()))?.into_inner();
    file.as_file().sync_all().map_err(failed)?;
    let bytes = file.as_file().metadata().map_err(failed)?.len();
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => failed(error.error),
    })?;
    std::fs::File::open(directory).and_then(|names| names.sync_all()).map_err(failed)?;
    Ok(bytes)
}

/// Bytes of all files of a tree.
pub(super) fn content_bytes(manifest: &SnapshotManifest) -> u64 {
    manifest.entries.iter().map(Entry::size).sum()
}
