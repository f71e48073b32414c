//! Writes a collection as a bundle: the manifest, then the chunks that the snapshot lacks.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};

use handoff_proto::bundle::{self, BundleError};
use handoff_proto::chunk::{ChunkId, ChunkRef, chunk_reader};
use handoff_proto::tree::{self, FileError};
use thiserror::Error;

use super::collect::Collection;

/// The bundle only goes through a pipe and a file of this machine.
const LEVEL: i32 = 1;

/// A collection cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The stream.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file that was read before cannot be read again.
    #[error(transparent)]
    File(#[from] FileError),
    /// Reading failed.
    #[error("read `{path}`")]
    Read {
        /// The escaped path.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A file is not what it was when it was read first.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The escaped path.
        path: String,
    },
}

/// Reading or writing within one file, before the path is known.
enum CopyError {
    Read(io::Error),
    Bundle(BundleError),
    Changed,
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// Writes a collection to a stream.
///
/// # Errors
///
/// Where the stream fails or a file has changed since it was collected.
pub fn write(collection: &Collection, output: impl Write) -> Result<(), WriteError> {
    let mut writer = bundle::Writer::new(output, LEVEL)?;
    writer.manifest(&collection.manifest.encode())?;
    let mut written = collection.known.clone();
    for entry in &collection.manifest.entries {
        if is_any_new(entry.chunks(), &written) {
            let (file, _) = tree::open_regular(&collection.root, &entry.path)?;
            copy(file, entry.chunks(), &mut written, &mut writer)
                .map_err(|error| error.in_file(entry.path.to_string()))?;
        }
    }
    let session = collection.manifest.session.iter().flat_map(|session| &session.files);
    for (entry, root) in session.zip(collection.session_root.iter().cycle()) {
        if is_any_new(entry.chunks(), &written) {
            let (file, _) = tree::open_regular(root, &entry.path)?;
            copy(file, entry.chunks(), &mut written, &mut writer)
                .map_err(|error| error.in_file(entry.path.to_string()))?;
        }
    }
    for (place, path) in &collection.packs {
        let chunks = &collection.manifest.repositories[*place].pack;
        let name = || path.display().to_string();
        let file = File::open(path).map_err(|source| WriteError::Read { path: name(), source })?;
        copy(file, chunks, &mut written, &mut writer).map_err(|error| error.in_file(name()))?;
    }
    let mut output = writer.finish()?;
    output.flush().map_err(|error| BundleError::Write(error).into())
}

fn is_any_new(chunks: &[ChunkRef], written: &HashSet<ChunkId>) -> bool {
    chunks.iter().any(|chunk| !written.contains(&chunk.id))
}

/// Writes those chunks of a file that are new, and makes sure that all are as they were.
fn copy<W: Write>(
    file: impl Read,
    chunks: &[ChunkRef],
    written: &mut HashSet<ChunkId>,
    writer: &mut bundle::Writer<W>,
) -> Result<(), CopyError> {
    let mut expected = chunks.iter();
    chunk_reader(file, |chunk, content| {
        if expected.next() != Some(&chunk) {
            return Err(CopyError::Changed);
        }
        if written.insert(chunk.id) {
            writer.chunk(&chunk.id, content).map_err(CopyError::Bundle)?;
        }
        Ok(())
    })?;
    if expected.next().is_some() { Err(CopyError::Changed) } else { Ok(()) }
}

impl CopyError {
    fn in_file(self, path: String) -> WriteError {
        match self {
            Self::Read(source) => WriteError::Read { path, source },
            Self::Bundle(error) => error.into(),
            Self::Changed => WriteError::Changed { path },
        }
    }
}
