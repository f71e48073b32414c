//! Reads a bundle that anyone may have made.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};

use crate::chunk::{CHUNK_SIZE_MAX, Chunk, ChunkId, ChunkRef};

use super::VERSION;
use super::archive::Archive;
use super::error::BundleError;
use super::header::{self, BLOCK, Name};

/// The zero blocks that end an archive: two, and as many more as fill a record of 10 KiB, which is
/// what general tar programs write.
const END_BLOCKS_MAX: usize = 20;

/// How much a bundle may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleLimits {
    /// The manifest in bytes; 0 if none is expected.
    pub manifest_bytes_max: u64,
    /// One chunk in bytes.
    pub chunk_bytes_max: u64,
    /// Manifest and chunks together in bytes.
    pub total_bytes_max: u64,
}

impl BundleLimits {
    /// For a bundle with a manifest of at most `manifest_bytes_max` bytes.
    #[must_use]
    pub const fn new(manifest_bytes_max: u64, total_bytes_max: u64) -> Self {
        Self { manifest_bytes_max, chunk_bytes_max: CHUNK_SIZE_MAX as u64, total_bytes_max }
    }
}

/// One thing in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The encoded manifest, not looked at; always the first item if it is there.
    Manifest(Vec<u8>),
    /// A chunk that was expected, of the size that was expected.
    Chunk(Chunk<Vec<u8>>),
}

/// Reads a bundle item by item.
///
/// Chunks are accepted only after [`expect`](Self::expect) has named them, each once. After the
/// last item the stream must end: a reader that has returned `None` has seen all of it.
pub struct Reader<R: BufRead> {
    archive: Option<Archive<R>>,
    limits: BundleLimits,
    /// What each chunk still to come must have.
    expected: HashMap<ChunkId, Expected>,
    total: u64,
    /// The entry that was read last.
    last: Last,
}

enum Expected {
    /// With this many bytes.
    Size(u32),
    Received,
}

#[derive(Clone, Copy)]
enum Last {
    Nothing,
    Entry(Name),
}

impl std::fmt::Display for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("its beginning"),
            Self::Entry(name) => write!(f, "{name}"),
        }
    }
}

impl<R: BufRead> Reader<R> {
    /// Begins to read; nothing is read yet.
    #[must_use]
    pub fn new(input: R, limits: BundleLimits) -> Self {
        let (archive, last) = (Some(Archive::new(input)), Last::Nothing);
        Self { archive, limits, expected: HashMap::new(), total: 0, last }
    }

    /// Lets these chunks come, each once however often it is named.
    ///
    /// # Errors
    ///
    /// Where one is named with two sizes.
    pub fn expect(
        &mut self,
        chunks: impl IntoIterator<Item = ChunkRef>,
    ) -> Result<(), BundleError> {
        for chunk in chunks {
            let expected = self.expected.entry(chunk.id).or_insert(Expected::Size(chunk.size));
            if matches!(expected, Expected::Size(size) if *size != chunk.size) {
                return Err(BundleError::Conflict(chunk.id));
            }
        }
        Ok(())
    }

    /// The expected chunks that have not come.
    pub fn missing(&self) -> impl Iterator<Item = ChunkId> {
        let missing = |(id, expected): (&ChunkId, &Expected)| match expected {
            Expected::Size(_) => Some(*id),
            Expected::Received => None,
        };
        self.expected.iter().filter_map(missing)
    }

    /// Reads the next item; `None` after the last one, when the stream has ended as it should.
    ///
    /// # Errors
    ///
    /// Anything that a [`Writer`](super::Writer) would not have written, or was not expected, or
    /// exceeds a limit. The reader is of no use after that.
    pub fn next_item(&mut self) -> Result<Option<Item>, BundleError> {
        if self.archive.is_none() {
            return Ok(None);
        }
        if matches!(self.last, Last::Nothing) {
            self.version()?;
        }
        let Some((name, size)) = self.header()? else {
            self.end()?;
            return Ok(None);
        };
        match name {
            Name::Version => Err(self.refuse("repeats the version")),
            Name::Manifest => self.manifest(size).map(Some),
            Name::Chunk(id) => self.chunk(id, size).map(Some),
        }
    }

    fn version(&mut self) -> Result<(), BundleError> {
        match self.header()? {
            Some((Name::Version, size)) if size == VERSION.len() as u64 => {
                if self.body(Name::Version, size)? == VERSION {
                    Ok(())
                } else {
                    Err(BundleError::UnknownVersion)
                }
            }
            Some((Name::Version, _)) => Err(BundleError::UnknownVersion),
            Some((Name::Manifest | Name::Chunk(_), _)) | None => {
                Err(self.refuse("should be the version"))
            }
        }
    }

    fn manifest(&mut self, size: u64) -> Result<Item, BundleError> {
        if !matches!(self.last, Last::Entry(Name::Version)) {
            return Err(self.refuse("is a manifest out of place"));
        }
        let max = self.limits.manifest_bytes_max;
        if size > max {
            let what = "a manifest";
            return Err(BundleError::TooLarge { what, size, max });
        }
        self.add_to_total(size)?;
        self.body(Name::Manifest, size).map(Item::Manifest)
    }

    fn chunk(&mut self, id: ChunkId, size: u64) -> Result<Item, BundleError> {
        let expected = match self.expected.get(&id) {
            None => return Err(BundleError::Unexpected(id)),
            Some(Expected::Received) => return Err(BundleError::Duplicate(id)),
            Some(Expected::Size(expected)) => *expected,
        };
        if size != u64::from(expected) {
            return Err(BundleError::Size { id, size, expected });
        }
        let max = self.limits.chunk_bytes_max;
        if size > max {
            let what = "a chunk";
            return Err(BundleError::TooLarge { what, size, max });
        }
        self.add_to_total(size)?;
        let content = self.body(Name::Chunk(id), size)?;
        let chunk = Chunk::verify(id, content).ok_or(BundleError::Hash(id))?;
        self.expected.insert(id, Expected::Received);
        Ok(Item::Chunk(chunk))
    }

    fn add_to_total(&mut self, size: u64) -> Result<(), BundleError> {
        let max = self.limits.total_bytes_max;
        let total = self.total.saturating_add(size);
        if total > max {
            return Err(BundleError::TooLarge {
                what: "the content of the bundle",
                size: total,
                max,
            });
        }
        self.total = total;
        Ok(())
    }

    /// The next header; `None` for the first of the zero blocks at the end.
    fn header(&mut self) -> Result<Option<(Name, u64)>, BundleError> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        header::parse(&block).map(Some).map_err(|problem| self.refuse(problem))
    }

    /// A body of exactly this size, which has been checked, and the zeros after it.
    fn body(&mut self, name: Name, size: u64) -> Result<Vec<u8>, BundleError> {
        /// Memory is set aside as bytes arrive: what a header says costs the sender nothing.
        const RESERVED_MAX: usize = 1024 * 1024;

        self.last = Last::Entry(name);
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        let mut content = Vec::with_capacity(len.min(RESERVED_MAX));
        let appended = self.archive().and_then(|archive| archive.append(&mut content, len));
        match appended {
            Ok(()) if content.len() == len => {}
            Ok(()) => return Err(read_failed(self.last, io::ErrorKind::UnexpectedEof.into())),
            Err(source) => return Err(read_failed(self.last, source)),
        }
        let mut padding = [0; BLOCK];
        let padding = &mut padding[..len.next_multiple_of(BLOCK) - len];
        self.read_exact(padding)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(self.refuse("is not padded with zeros"));
        }
        Ok(content)
    }

    /// Reads what may follow the first zero block and makes sure that nothing else does.
    fn end(&mut self) -> Result<(), BundleError> {
        let last = self.last;
        let failed = |source| read_failed(last, source);
        self.archive().map_err(failed)?.end_here();
        let mut rest = Vec::new();
        let rest_max = (END_BLOCKS_MAX - 1) * BLOCK;
        self.archive()
            .and_then(|archive| archive.take(rest_max as u64 + 1).read_to_end(&mut rest))
            .map_err(failed)?;
        if rest.len() < BLOCK {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        let is_end = rest.len() <= rest_max
            && rest.len().is_multiple_of(BLOCK)
            && rest.iter().all(|&byte| byte == 0);
        if !is_end {
            return Err(BundleError::Trailing);
        }
        // Behind the frame there may be anything, also what zstd itself would skip.
        let goes_on = self.archive.take().map_or(Ok(false), Archive::goes_on);
        if goes_on.map_err(failed)? { Err(BundleError::Trailing) } else { Ok(()) }
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), BundleError> {
        let last = self.last;
        self.archive()
            .and_then(|archive| archive.read_exact(buffer))
            .map_err(|source| read_failed(last, source))
    }

    fn archive(&mut self) -> io::Result<&mut Archive<R>> {
        self.archive.as_mut().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn refuse(&self, problem: &'static str) -> BundleError {
        BundleError::Header { at: self.last.to_string(), problem }
    }
}

impl<R: BufRead> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("limits", &self.limits)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

fn read_failed(last: Last, source: io::Error) -> BundleError {
    BundleError::Read { at: last.to_string(), source }
}
