//! Writes a bundle.

use std::io::{self, Write};

use zstd::stream::write::Encoder;

use crate::chunk::ChunkId;

use super::error::BundleError;
use super::header::{self, BLOCK, Name};
use super::{VERSION, WINDOW_LOG_MAX, stored};

/// The highest level whose window a reader accepts.
pub const LEVEL_MAX: i32 = 19;

/// The lowest level: hardly more than copying, for links that are faster than compression.
pub const LEVEL_MIN: i32 = -50;

/// From this level on the largest window is worth its time: what repeats is found megabytes away.
const WIDE_FROM_LEVEL: i32 = 3;

/// How hard a writer tries to make what it writes smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    Stored,
    /// This level of zstd, [`LEVEL_MIN`] to [`LEVEL_MAX`]; what lies outside is moved inside.
    Level(i32),
}

/// Writes a bundle to a stream: the manifest first if there is one, then chunks.
///
/// Nothing checks that a chunk comes once only or has its hash; readers refuse such a bundle.
pub struct Writer<W: Write> {
    /// None only after an error.
    archive: Option<Archive<W>>,
    effort: Effort,
    checksum: Checksum,
}

/// Where an archive goes.
enum Archive<W: Write> {
    Compressed(Encoder<'static, W>),
    Stored(W),
}

/// Whether frames end with zstd's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksum {
    Written,
    LeftOut,
}

impl<W: Write> Writer<W> {
    /// Begins a bundle. `level` is zstd's, [`LEVEL_MIN`] to [`LEVEL_MAX`]; what lies outside is
    /// moved inside.
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn new(output: W, level: i32) -> Result<Self, BundleError> {
        // Chunks have their hashes; a manifest in a file has nothing else to tell damage by.
        Self::with(output, Effort::Level(level), Checksum::Written)
    }

    /// Begins a bundle for a link that lets nothing be damaged: without checksums, which cost as much
    /// as encryption.
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn for_link(output: W, effort: Effort) -> Result<Self, BundleError> {
        Self::with(output, effort, Checksum::LeftOut)
    }

    fn with(output: W, effort: Effort, checksum: Checksum) -> Result<Self, BundleError> {
        let archive = Some(begin(output, effort, checksum).map_err(BundleError::Write)?);
        let mut writer = Self { archive, effort, checksum };
        writer.entry(Name::Version, VERSION)?;
        Ok(writer)
    }

    /// Goes on with another effort, in a frame of its own: what came before is not looked at again
    /// for repetitions, so this is nothing to do all the time.
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn set_effort(&mut self, effort: Effort) -> Result<(), BundleError> {
        if effort == self.effort {
            return Ok(());
        }
        self.effort = effort;
        let checksum = self.checksum;
        let again = |archive: Archive<W>| begin(archive.finish()?, effort, checksum);
        let archive = self.archive.take().ok_or(io::ErrorKind::BrokenPipe.into());
        self.archive = Some(archive.and_then(again).map_err(BundleError::Write)?);
        Ok(())
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
        self.archive().and_then(Archive::flush).map_err(BundleError::Write)
    }

    /// The stream underneath, for counting or draining what has been written; none after an error.
    pub fn get_mut(&mut self) -> Option<&mut W> {
        self.archive.as_mut().map(Archive::get_mut)
    }

    /// Ends the bundle and returns the stream; without this the bundle is cut off.
    ///
    /// # Errors
    ///
    /// Where writing fails.
    pub fn finish(mut self) -> Result<W, BundleError> {
        self.write(&[0; 2 * BLOCK])?;
        let archive = self.archive.take().ok_or(io::ErrorKind::BrokenPipe.into());
        archive.and_then(Archive::finish).map_err(BundleError::Write)
    }

    fn entry(&mut self, name: Name, content: &[u8]) -> Result<(), BundleError> {
        self.write(&header::write(name, content.len() as u64))?;
        self.write(content)?;
        self.write(&[0; BLOCK][..padding(content.len())])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.archive().and_then(|archive| archive.write_all(bytes)).map_err(BundleError::Write)
    }

    fn archive(&mut self) -> io::Result<&mut Archive<W>> {
        self.archive.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl<W: Write> Archive<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Compressed(encoder) => encoder.write_all(bytes),
            Self::Stored(output) => stored::write(output, bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Compressed(encoder) => encoder.flush(),
            Self::Stored(output) => output.flush(),
        }
    }

    fn get_mut(&mut self) -> &mut W {
        match self {
            Self::Compressed(encoder) => encoder.get_mut(),
            Self::Stored(output) => output,
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Compressed(encoder) => encoder.finish(),
            Self::Stored(output) => Ok(output),
        }
    }
}

fn begin<W: Write>(output: W, effort: Effort, checksum: Checksum) -> io::Result<Archive<W>> {
    let Effort::Level(level) = effort else { return Ok(Archive::Stored(output)) };
    let mut archive = Encoder::new(output, level.clamp(LEVEL_MIN, LEVEL_MAX))?;
    archive.include_checksum(checksum == Checksum::Written)?;
    if level >= WIDE_FROM_LEVEL {
        archive.window_log(WINDOW_LOG_MAX)?;
    }
    Ok(Archive::Compressed(archive))
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
