//! Writes a bundle.

use std::io::{self, Write};

use zstd::stream::write::Encoder;

use crate::chunk::ChunkId;

use super::error::BundleError;
use super::header::{self, BLOCK, Name};
use super::{VERSION, WINDOW_LOG_MAX};

/// The highest level whose window a reader accepts.
const LEVEL_MAX: i32 = 19;

/// Writes a bundle to a stream: the manifest first if there is one, then chunks.
///
/// Nothing checks that a chunk comes once only or has its hash; readers refuse such a bundle.
pub struct Writer<W: Write> {
    archive: Encoder<'static, W>,
}

impl<W: Write> Writer<W> {
    /// Begins a bundle. `level` is zstd's, 1 to 19; what lies outside is moved inside.
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn new(output: W, level: i32) -> Result<Self, BundleError> {
        let begin = || -> io::Result<Encoder<'static, W>> {
            let mut archive = Encoder::new(output, level.clamp(1, LEVEL_MAX))?;
            archive.window_log(WINDOW_LOG_MAX)?;
            Ok(archive)
        };
        let mut writer = Self { archive: begin().map_err(BundleError::Write)? };
        writer.entry(Name::Version, VERSION)?;
        Ok(writer)
    }

    /// Writes the manifest; only ever right after [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn manifest(&mut self, encoded: &[u8]) -> Result<(), BundleError> {
        self.entry(Name::Manifest, encoded)
    }

    /// Writes one chunk.
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn chunk(&mut self, id: &ChunkId, content: &[u8]) -> Result<(), BundleError> {
        self.entry(Name::Chunk(*id), content)
    }

    /// Pushes out what is buffered, so that a receiver can read everything up to here.
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn flush(&mut self) -> Result<(), BundleError> {
        self.archive.flush().map_err(BundleError::Write)
    }

    /// The stream underneath, for counting or draining what has been written.
    pub fn get_mut(&mut self) -> &mut W {
        self.archive.get_mut()
    }

    /// Ends the bundle and returns the stream; without this the bundle is cut off.
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn finish(mut self) -> Result<W, BundleError> {
        self.write(&[0; 2 * BLOCK])?;
        self.archive.finish().map_err(BundleError::Write)
    }

    fn entry(&mut self, name: Name, content: &[u8]) -> Result<(), BundleError> {
        self.write(&header::write(name, content.len() as u64))?;
        self.write(content)?;
        self.write(&[0; BLOCK][..padding(content.len())])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.archive.write_all(bytes).map_err(BundleError::Write)
    }
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// The zeros after a body of this length.
fn padding(len: usize) -> usize {
    len.next_multiple_of(BLOCK) - len
}
