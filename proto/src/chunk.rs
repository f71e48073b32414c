//! Splits content into chunks and names each by its hash.
//!
//! Both sides must find the same boundaries, or nothing is ever deduplicated; a golden test holds
//! them. Never keeps more than one chunk and one read buffer in memory.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, Read};

use fastcdc::v2020::FastCDC;

/// Content up to this many bytes is one chunk: cutting small files saves nothing and costs ids.
pub const FILE_ONE_CHUNK_MAX: usize = 256 * 1024;

/// The smallest chunk of cut content in bytes, save the last one. No boundary is looked for before,
/// which is what takes most of the time of reading: half of the average makes chunks hardly longer.
pub const CHUNK_SIZE_MIN: usize = 128 * 1024;

/// The size in bytes that chunks of cut content have on average: a changed line in a large file
/// then costs about that much, and 1 GiB needs about four thousand ids.
pub const CHUNK_SIZE_AVERAGE: usize = 256 * 1024;

/// The largest chunk in bytes; what a receiver must be ready to hold.
pub const CHUNK_SIZE_MAX: usize = 1024 * 1024;

// FastCDC 2020 looks at bytes in pairs and needs even sizes to cut where it should.
const _: () = assert!(Cuts::FILE.are_even() && Cuts::GIT_INDEX.are_even());

/// How much is read ahead: the longest chunk and as much again, so that bytes are moved rarely.
const BUFFER_SIZE: usize = 2 * CHUNK_SIZE_MAX;

/// What is set aside before anything is known of the size.
const SMALL_BUFFER_SIZE: usize = 32 * 1024;

/// Where content is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// Content up to this many bytes is one chunk.
    one_chunk_max: usize,
    size_min: usize,
    size_average: usize,
    size_max: usize,
}

impl Cuts {
    /// For files in general.
    pub const FILE: Self = Self {
        one_chunk_max: FILE_ONE_CHUNK_MAX,
        size_min: CHUNK_SIZE_MIN,
        size_average: CHUNK_SIZE_AVERAGE,
        size_max: CHUNK_SIZE_MAX,
    };

    /// For git's index: rewritten whole whenever a file is staged, a few bytes of it new, and most
    /// of it hashes, which do not compress. Small chunks keep what is sent small: with 100,000
    /// files the index has some 10 MB, and ten staged files cost 200 KB instead of 3 MB.
    pub const GIT_INDEX: Self = Self {
        one_chunk_max: 16 << 10,
        size_min: 4 << 10,
        size_average: 16 << 10,
        size_max: 64 << 10,
    };

    const fn are_even(&self) -> bool {
        self.size_min.is_multiple_of(2)
            && self.size_average.is_multiple_of(2)
            && self.size_max.is_multiple_of(2)
    }
}

/// The BLAKE3 of a chunk's plain content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId([u8; 32]);

/// Many ids to look things up in, fast: for those who chose them or trust who did.
pub type ChunkIdSet = HashSet<ChunkId, BuildHasherDefault<ChunkIdHasher>>;

/// Takes the first bytes of an id, which is a hash already, for its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkIdHasher(u64);

impl Hasher for ChunkIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length, which is always the same.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Text or bytes that are no content id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a content id is 32 bytes or 64 lower-case hexadecimal digits")]
pub struct ParseIdError;

impl ChunkId {
    /// The id of this content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }

    /// Wraps a hash that was computed or stored elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses what `Display` writes.
    ///
    /// # Errors
    ///
    /// Anything but 64 lower-case hexadecimal digits.
    pub fn parse(hex: &str) -> Result<Self, ParseIdError> {
        parse_hex(hex.as_bytes()).map(Self).ok_or(ParseIdError)
    }
}

impl TryFrom<&[u8]> for ChunkId {
    type Error = ParseIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
        bytes.try_into().map(Self).map_err(|_| ParseIdError)
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl std::str::FromStr for ChunkId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Self::parse(text)
    }
}

/// One chunk of some content: its id and its size in bytes, 1 to [`CHUNK_SIZE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    /// The hash of the content.
    pub id: ChunkId,
    /// The size of the content in bytes.
    pub size: u32,
}

impl ChunkRef {
    /// Describes content of at most [`CHUNK_SIZE_MAX`] bytes.
    fn of(content: &[u8]) -> Self {
        Self { id: ChunkId::of(content), size: u32::try_from(content.len()).unwrap_or(u32::MAX) }
    }
}

/// Content that was found to have the hash it is named by; nobody need look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<C> {
    id: ChunkId,
    content: C,
}

impl<C: AsRef<[u8]>> Chunk<C> {
    /// Checks content against its id; none where it is not what the id says.
    #[must_use]
    pub fn verify(id: ChunkId, content: C) -> Option<Self> {
        (ChunkId::of(content.as_ref()) == id).then_some(Self { id, content })
    }

    /// The hash of the content.
    #[must_use]
    pub const fn id(&self) -> ChunkId {
        self.id
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.content.as_ref()
    }

    /// The content as it is kept.
    #[must_use]
    pub const fn as_owned(&self) -> &C {
        &self.content
    }

    /// The content itself.
    #[must_use]
    pub fn into_content(self) -> C {
        self.content
    }

    /// The same without ownership.
    #[must_use]
    pub fn as_ref(&self) -> Chunk<&[u8]> {
        Chunk { id: self.id, content: self.content.as_ref() }
    }
}

/// Reads content to its end, hands every chunk to `sink` in order, and returns the size in bytes.
///
/// Empty content has no chunks; content up to [`FILE_ONE_CHUNK_MAX`] bytes is one; anything longer
/// is cut by FastCDC. The same content always gives the same chunks, however the reader hands it
/// out. Memory stays at about 2 MiB whatever the size.
///
/// # Errors
///
/// Where reading fails, and whatever `sink` returns.
pub fn chunk_reader<E: From<io::Error>>(
    content: impl Read,
    sink: impl FnMut(ChunkRef, &[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    chunk_reader_by(&Cuts::FILE, &[], content, sink)
}

/// The same with other cuts, and with the chunks that the content had before, if any: where it is
/// still the same, boundaries need not be looked for, which takes most of the time. The outcome
/// does not depend on that.
///
/// # Errors
///
/// Where reading fails, and whatever `sink` returns.
pub fn chunk_reader_by<E: From<io::Error>>(
    cuts: &Cuts,
    before: &[ChunkRef],
    mut content: impl Read,
    mut sink: impl FnMut(ChunkRef, &[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    // Small files are the rule: one read takes most of them whole, and none costs the large buffer.
    let mut buffer = Vec::with_capacity(SMALL_BUFFER_SIZE);
    let mut total: u64 = 0;

    let mut ended = fill(&mut content, &mut buffer, cuts.one_chunk_max + 1)?;
    if ended && buffer.len() <= cuts.one_chunk_max {
        if !buffer.is_empty() {
            sink(ChunkRef::of(&buffer), &buffer)?;
        }
        return Ok(buffer.len() as u64);
    }

    let mut earlier = Earlier::new(before);
    let mut start = 0;
    loop {
        if !ended && buffer.len() - start < cuts.size_max {
            buffer.drain(..start);
            start = 0;
            ended = fill(&mut content, &mut buffer, BUFFER_SIZE)?;
        }
        if start == buffer.len() {
            return Ok(total);
        }
        let rest = &buffer[start..];
        let chunk = match earlier.expected(cuts, rest) {
            Some(same) => same,
            None => ChunkRef::of(&rest[..cuts.next(rest)]),
        };
        earlier.pass(&chunk);
        let size = chunk.size as usize;
        sink(chunk, &rest[..size])?;
        start += size;
        total += u64::from(chunk.size);
    }
}

/// Reads until the buffer holds `size` bytes; whether the reader came to its end before that.
fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>, size: usize) -> io::Result<bool> {
    let wanted = size - buffer.len();
    let got = reader.by_ref().take(wanted as u64).read_to_end(buffer)?;
    Ok(got < wanted)
}

/// How many chunks may have come or gone between two that are the same.
const SEARCHED: usize = 64;

/// The chunks that content had before, from the one that may come next.
struct Earlier<'a> {
    rest: &'a [ChunkRef],
    /// Bytes in all of them.
    bytes: u64,
    /// Whether the one before was the same, too: else guessing would cost a hash each time.
    is_same: bool,
}

impl<'a> Earlier<'a> {
    fn new(rest: &'a [ChunkRef]) -> Self {
        let bytes = rest.iter().map(|chunk| u64::from(chunk.size)).sum();
        Self { rest, bytes, is_same: true }
    }

    /// The next chunk, if content goes on as it did before. A boundary depends on what is in the
    /// chunk, and near the end on how much follows: there it is looked for in any case.
    fn expected(&self, cuts: &Cuts, content: &[u8]) -> Option<ChunkRef> {
        let expected = self.rest.first().filter(|_| self.is_same)?;
        let size = expected.size as usize;
        let is_cut = (cuts.size_min..=cuts.size_max).contains(&size);
        if !is_cut || self.bytes < cuts.size_max as u64 || content.len() < cuts.size_max {
            return None;
        }
        let found = ChunkRef::of(content.get(..size)?);
        (found == *expected).then_some(found)
    }

    /// Goes on behind this chunk if it was there before, not far from where it is looked for.
    fn pass(&mut self, chunk: &ChunkRef) {
        let near = &self.rest[..self.rest.len().min(SEARCHED)];
        let found = near.iter().position(|known| known == chunk);
        self.is_same = found.is_some();
        let Some(at) = found else { return };
        let (passed, rest) = self.rest.split_at(at + 1);
        self.bytes -= passed.iter().map(|chunk| u64::from(chunk.size)).sum::<u64>();
        self.rest = rest;
    }
}

impl Cuts {
    /// Where the first chunk of `rest` ends; `rest` is all there is or at least the longest chunk.
    fn next(&self, rest: &[u8]) -> usize {
        FastCDC::new(rest, self.size_min, self.size_average, self.size_max).cut(0, rest.len()).1
    }
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly `N` bytes written as lower-case hexadecimal digits.
pub(crate) fn parse_hex<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = hex.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
