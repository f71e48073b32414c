//! The file of a stat cache: little-endian numbers, everything in one piece.
//!
//! Magic; root; index files with their digests; directories with the names in them, sorted by path;
//! files sorted by path; the BLAKE3 of all that.

use std::borrow::Cow;
use std::cmp::Ordering;

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::Timestamp;
use handoff_proto::path::{AbsolutePath, compare_by_components};

use super::Stamp;

/// Names the format and how content is cut; another version is another word.
const MAGIC: &[u8; 16] = b"handoff-stat-v3\n";

const CHECKSUM_LEN: usize = 32;
const CHUNK_LEN: usize = 36;

/// Size, two times of 12 bytes, inode.
const STAMP_LEN: usize = 40;

/// A file as it was read.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    content: Vec<u8>,
    indexes: Vec<([u8; 32], [u8; 32])>,
    /// Where each directory begins.
    directories: Vec<usize>,
    /// Where each file begins.
    entries: Vec<usize>,
}

/// A directory whose names are remembered.
#[derive(Debug)]
pub(super) struct RememberedNames<'a> {
    /// Empty for the root.
    path: &'a [u8],
    stamp: &'a [u8; STAMP_LEN],
    pub(super) names: &'a [u8],
}

/// One remembered file.
#[derive(Debug)]
pub(super) struct Remembered<'a> {
    pub(super) path: &'a [u8],
    stamp: &'a [u8; STAMP_LEN],
    chunks: &'a [[u8; CHUNK_LEN]],
}

impl Loaded {
    /// Reads a file of this version about this root.
    pub(super) fn parse(content: Vec<u8>, root: &AbsolutePath) -> Option<Self> {
        let (body, checksum) =
            content.split_at_checked(content.len().checked_sub(CHECKSUM_LEN)?)?;
        if blake3::hash(body).as_bytes() != checksum {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        if take_bytes(&mut rest)? != root.as_bytes() {
            return None;
        }
        let mut indexes = Vec::new();
        for _ in 0..take_u32(&mut rest)? {
            indexes.push((*take(&mut rest)?, *take(&mut rest)?));
        }
        let mut directories = Vec::new();
        for _ in 0..take_u32(&mut rest)? {
            directories.push(body.len() - rest.len());
            take_directory(&mut rest)?;
        }
        let mut entries = Vec::with_capacity(rest.len() / (STAMP_LEN + CHUNK_LEN));
        while !rest.is_empty() {
            entries.push(body.len() - rest.len());
            take_entry(&mut rest)?;
        }
        Some(Self { content, indexes, directories, entries })
    }

    /// The size of the file in bytes.
    pub(super) fn len(&self) -> u64 {
        self.content.len() as u64
    }

    pub(super) fn entry(&self, at: usize) -> Option<Remembered<'_>> {
        take_entry(&mut &self.content[*self.entries.get(at)?..])
    }

    /// Where the first entry is that does not come before.
    pub(super) fn place(&self, is_before: impl Fn(&Remembered<'_>) -> bool) -> usize {
        let entry = |at: &usize| take_entry(&mut &self.content[*at..]);
        self.entries.partition_point(|at| entry(at).is_some_and(|entry| is_before(&entry)))
    }

    /// The directory at this path; empty for the root.
    pub(super) fn directory(&self, path: &[u8]) -> Option<RememberedNames<'_>> {
        let directory = |at: &usize| take_directory(&mut &self.content[*at..]);
        let order = |at: &usize| {
            directory(at).map_or(Ordering::Less, |found| compare_by_components(found.path, path))
        };
        let place = self.directories.binary_search_by(order).ok()?;
        directory(&self.directories[place])
    }

    pub(super) fn index_digest(&self, content: &[u8; 32]) -> Option<[u8; 32]> {
        let mut indexes = self.indexes.iter();
        indexes.find(|(known, _)| known == content).map(|(_, digest)| *digest)
    }
}

impl RememberedNames<'_> {
    pub(super) fn stamp(&self) -> Stamp {
        decode_stamp(self.stamp)
    }
}

impl Remembered<'_> {
    pub(super) fn stamp(&self) -> Stamp {
        decode_stamp(self.stamp)
    }

    pub(super) fn chunks(&self) -> Vec<ChunkRef> {
        let chunk = |record: &[u8; CHUNK_LEN]| {
            let mut rest: &[u8] = record;
            let id = take::<32>(&mut rest).copied().unwrap_or_default();
            let size = take_u32(&mut rest).unwrap_or_default();
            ChunkRef { id: ChunkId::from_bytes(id), size }
        };
        self.chunks.iter().map(chunk).collect()
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(taken)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(|bytes| u32::from_le_bytes(*bytes))
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_u32(rest)?).ok()?;
    let (taken, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(taken)
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<Remembered<'a>> {
    let path = take_bytes(rest)?;
    let stamp = take::<STAMP_LEN>(rest)?;
    let len = usize::try_from(take_u32(rest)?).ok()?.checked_mul(CHUNK_LEN)?;
    let (chunks, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(Remembered { path, stamp, chunks: chunks.as_chunks().0 })
}

fn take_directory<'a>(rest: &mut &'a [u8]) -> Option<RememberedNames<'a>> {
    let path = take_bytes(rest)?;
    let stamp = take::<STAMP_LEN>(rest)?;
    Some(RememberedNames { path, stamp, names: take_bytes(rest)? })
}

fn decode_stamp(bytes: &[u8; STAMP_LEN]) -> Stamp {
    let long = |at: usize| {
        let part = bytes.get(at..).and_then(|rest| rest.first_chunk());
        u64::from_le_bytes(part.copied().unwrap_or_default())
    };
    let time = |at: usize| {
        let nanos = bytes.get(at + 8..).and_then(|rest| rest.first_chunk());
        Timestamp {
            secs: long(at).cast_signed(),
            nanos: u32::from_le_bytes(nanos.copied().unwrap_or_default()),
        }
    };
    Stamp { size: long(0), mtime: time(8), ctime: time(20), inode: long(32) }
}

/// Writes a file.
#[derive(Debug)]
pub(super) struct Encoder {
    body: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(root: &AbsolutePath, indexes: &[([u8; 32], [u8; 32])]) -> Self {
        let mut encoder = Self { body: MAGIC.to_vec() };
        encoder.bytes(root.as_bytes());
        encoder.number(indexes.len());
        for (content, digest) in indexes {
            encoder.body.extend_from_slice(content);
            encoder.body.extend_from_slice(digest);
        }
        encoder
    }

    /// All directories, which come before all files.
    pub(super) fn directories<'a>(
        &mut self,
        directories: impl Iterator<Item = (&'a [u8], Stamp, Cow<'a, [u8]>)>,
    ) {
        let count_at = self.body.len();
        self.number(0);
        let mut count = 0_u32;
        for (path, stamp, names) in directories {
            self.bytes(path);
            self.stamp(&stamp);
            self.bytes(&names);
            count += 1;
        }
        self.body[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    }

    pub(super) fn entry(&mut self, path: &[u8], stamp: &Stamp, chunks: &[ChunkRef]) {
        self.bytes(path);
        self.stamp(stamp);
        self.number(chunks.len());
        for chunk in chunks {
            self.body.extend_from_slice(chunk.id.as_bytes());
            self.body.extend_from_slice(&chunk.size.to_le_bytes());
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let checksum = blake3::hash(&self.body);
        self.body.extend_from_slice(checksum.as_bytes());
        self.body
    }

    /// Paths have at most 4095 bytes, files at most 2^26 chunks.
    fn number(&mut self, number: usize) {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.body.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.body.extend_from_slice(bytes);
    }

    fn stamp(&mut self, stamp: &Stamp) {
        self.body.extend_from_slice(&stamp.size.to_le_bytes());
        for time in [stamp.mtime, stamp.ctime] {
            self.body.extend_from_slice(&time.secs.to_le_bytes());
            self.body.extend_from_slice(&time.nanos.to_le_bytes());
        }
        self.body.extend_from_slice(&stamp.inode.to_le_bytes());
    }
}
