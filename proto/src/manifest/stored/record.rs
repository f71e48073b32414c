//! The stored form of one entry, written and read without intermediate messages.
//!
//! A large tree has hundreds of thousands of entries and one of everything else: generated code
//! that builds a message for each of them took four times as long. The format is that of
//! `StoredEntry` in manifest.proto; a test holds both to the same bytes.

use prost::encoding::encoded_len_varint;

use crate::chunk::{ChunkId, ChunkRef};
use crate::manifest::check::refuse_entry;
use crate::manifest::entry::{Entry, Kind, Timestamp};
use crate::manifest::error::{EntryProblem, ManifestError};
use crate::path::TreePath;

use super::CHUNK_RECORD_LEN;
use super::fields::{Field, each_field, split_field};

/// Numbers of the fields of a `StoredEntry`, a `StoredTime` and a `StoredFile`.
const PATH: u32 = 1;
const MODE: u32 = 2;
const MODIFIED: u32 = 3;
const FILE: u32 = 4;
const DIRECTORY: u32 = 5;
const SYMLINK_TARGET: u32 = 6;
const SECONDS: u32 = 1;
const NANOSECONDS: u32 = 2;
const SIZE: u32 = 1;
const CHUNKS: u32 = 2;

/// The longest encoded `StoredTime`: two keys, a 64-bit and a 32-bit number.
const TIME_LEN_MAX: usize = 1 + 10 + 1 + 5;

/// Puts a field that holds this entry in the place of what was there.
pub(super) fn put_entry(field: &mut Vec<u8>, number: u32, entry: &Entry) {
    let mut time = Time::default();
    time.put(entry.mtime);
    let (kind, kind_len) = match &entry.kind {
        Kind::File { size, chunks } => {
            let packed = chunks.len() * CHUNK_RECORD_LEN;
            (FILE, number_len(*size) + if packed == 0 { 0 } else { bytes_len(packed) })
        }
        Kind::Directory => (DIRECTORY, 0),
        Kind::Symlink { target } => (SYMLINK_TARGET, target.len()),
    };
    let path = entry.path.as_bytes();
    let len = bytes_len(path.len())
        + number_len(entry.mode.into())
        + bytes_len(time.len)
        + bytes_len(kind_len);

    field.clear();
    put_length(field, number, len);
    put_bytes(field, PATH, path);
    put_number(MODE, entry.mode.into(), |byte| field.push(byte));
    put_bytes(field, MODIFIED, &time.bytes[..time.len]);
    put_length(field, kind, kind_len);
    match &entry.kind {
        Kind::File { size, chunks } => {
            put_number(SIZE, *size, |byte| field.push(byte));
            if !chunks.is_empty() {
                put_length(field, CHUNKS, chunks.len() * CHUNK_RECORD_LEN);
                chunks.iter().for_each(|chunk| put_chunk(field, chunk));
            }
        }
        Kind::Directory => {}
        Kind::Symlink { target } => field.extend_from_slice(target),
    }
}

/// Reads an entry whose path is a path and whose kind is known. Other spellings of the same entry
/// are accepted here: whoever reads a whole manifest compares its encoding.
pub(super) fn entry(content: &[u8]) -> Result<Entry, ManifestError> {
    let mut path: &[u8] = &[];
    let (mut mode, mut mtime, mut kind) = (0, Timestamp::default(), None);
    each_field(content, |field| {
        match field.number {
            PATH => path = field.bytes()?,
            MODE => mode = field.number_32()?,
            MODIFIED => mtime = time(field.bytes()?)?,
            FILE => kind = Some(file(field.bytes()?)?),
            DIRECTORY => {
                field.bytes()?;
                kind = Some(Ok(Kind::Directory));
            }
            SYMLINK_TARGET => kind = Some(Ok(Kind::Symlink { target: field.bytes()?.to_vec() })),
            _ => {}
        }
        Ok(())
    })?;
    let path = TreePath::parse(path).map_err(|problem| ManifestError::Entry {
        path: super::shown(path),
        problem: problem.into(),
    })?;
    let kind = kind
        .unwrap_or(Err(EntryProblem::NoKind))
        .map_err(|problem| refuse_entry(&path, problem))?;
    Ok(Entry { path, mode, mtime, kind })
}

/// The path of an entry, which comes first in its canonical encoding; not checked.
pub(super) fn path(content: &[u8]) -> Option<&[u8]> {
    let (field, _) = split_field(content)?;
    if field.number == PATH { field.bytes().ok() } else { None }
}

fn time(content: &[u8]) -> Result<Timestamp, ManifestError> {
    let mut time = Timestamp::default();
    each_field(content, |field| {
        match field.number {
            SECONDS => time.secs = unzigzag(field.number_64()?),
            NANOSECONDS => time.nanos = field.number_32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(time)
}

fn file(content: &[u8]) -> Result<Result<Kind, EntryProblem>, ManifestError> {
    let (mut size, mut chunks) = (0, Ok(Vec::new()));
    each_field(content, |field: Field<'_>| {
        match field.number {
            SIZE => size = field.number_64()?,
            CHUNKS => chunks = unpack_chunks(field.bytes()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(chunks.map(|chunks| Kind::File { size, chunks }))
}

/// Writes chunks as records of 36 bytes.
pub(super) fn pack_chunks(chunks: &[ChunkRef]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(chunks.len() * CHUNK_RECORD_LEN);
    chunks.iter().for_each(|chunk| put_chunk(&mut packed, chunk));
    packed
}

/// Reads what [`pack_chunks`] wrote.
pub(super) fn unpack_chunks(packed: &[u8]) -> Result<Vec<ChunkRef>, EntryProblem> {
    let (records, rest) = packed.as_chunks::<CHUNK_RECORD_LEN>();
    if !rest.is_empty() {
        return Err(EntryProblem::ChunkRecord);
    }
    let unpack = |record: &[u8; CHUNK_RECORD_LEN]| {
        let mut id = [0; 32];
        let mut size = [0; 4];
        id.copy_from_slice(&record[..32]);
        size.copy_from_slice(&record[32..]);
        ChunkRef { id: ChunkId::from_bytes(id), size: u32::from_le_bytes(size) }
    };
    Ok(records.iter().map(unpack).collect())
}

fn put_chunk(encoded: &mut Vec<u8>, chunk: &ChunkRef) {
    encoded.extend_from_slice(chunk.id.as_bytes());
    encoded.extend_from_slice(&chunk.size.to_le_bytes());
}

/// An encoded `StoredTime`, whose length has to be known before it is put anywhere.
#[derive(Default)]
struct Time {
    bytes: [u8; TIME_LEN_MAX],
    len: usize,
}

impl Time {
    fn put(&mut self, time: Timestamp) {
        self.len = 0;
        for (number, value) in [(SECONDS, zigzag(time.secs)), (NANOSECONDS, time.nanos.into())] {
            put_number(number, value, |byte| {
                self.bytes[self.len] = byte;
                self.len += 1;
            });
        }
    }
}

/// A number, which is left out where it is 0.
fn put_number(number: u32, value: u64, mut put: impl FnMut(u8)) {
    if value != 0 {
        put_varint(u64::from(number << 3), &mut put);
        put_varint(value, &mut put);
    }
}

/// Protobuf's variable-length number: seven bits a byte, the lowest first.
fn put_varint(mut value: u64, put: &mut impl FnMut(u8)) {
    while value >= 0x80 {
        put(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    put(value.to_le_bytes()[0]);
}

fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + encoded_len_varint(value) }
}

/// Bytes, also where there are none.
pub(super) fn put_bytes(encoded: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_length(encoded, number, bytes.len());
    encoded.extend_from_slice(bytes);
}

fn bytes_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

/// The key of a length-delimited field and its length.
pub(super) fn put_length(encoded: &mut Vec<u8>, number: u32, len: usize) {
    put_varint(u64::from(number << 3 | 2), &mut |byte| encoded.push(byte));
    put_varint(len as u64, &mut |byte| encoded.push(byte));
}

/// Protobuf's mapping of signed numbers, small ones of either sign to small numbers.
const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::wire;

    fn generated(entry: &Entry) -> Vec<u8> {
        use wire::stored_entry::Kind as Stored;
        let kind = match &entry.kind {
            Kind::File { size, chunks } => {
                Stored::File(wire::StoredFile { size: *size, chunks: pack_chunks(chunks) })
            }
            Kind::Directory => Stored::Directory(wire::StoredDirectory {}),
            Kind::Symlink { target } => Stored::SymlinkTarget(target.clone()),
        };
        let message = wire::StoredEntry {
            path: entry.path.as_bytes().to_vec(),
            mode: entry.mode,
            modified: Some(wire::StoredTime {
                seconds: entry.mtime.secs,
                nanoseconds: entry.mtime.nanos,
            }),
            kind: Some(kind),
        };
        wire::StoredSnapshot { entries: vec![message], ..Default::default() }.encode_to_vec()
    }

    fn kind() -> impl Strategy<Value = Kind> {
        let chunk = (any::<[u8; 32]>(), any::<u32>())
            .prop_map(|(id, size)| ChunkRef { id: ChunkId::from_bytes(id), size });
        prop_oneof![
            Just(Kind::Directory),
            proptest::collection::vec(any::<u8>(), 0..300)
                .prop_map(|target| Kind::Symlink { target }),
            (any::<u64>(), proptest::collection::vec(chunk, 0..9))
                .prop_map(|(size, chunks)| Kind::File { size, chunks }),
        ]
    }

    proptest! {
        #[test]
        fn an_entry_is_the_message_that_the_format_describes(
            path in "[a-z]{1,9}(/[^/\0]{1,30}){0,6}",
            mode in any::<u32>(),
            secs in any::<i64>(),
            nanos in any::<u32>(),
            kind in kind(),
        ) {
            let path = TreePath::parse(path.as_bytes());
            prop_assume!(path.is_ok());
            let path = path.expect("assumed");
            let written = Entry { path, mode, mtime: Timestamp { secs, nanos }, kind };
            let mut field = vec![1, 2, 3];
            put_entry(&mut field, 5, &written);
            prop_assert_eq!(&field, &generated(&written));
            let mut read = Vec::new();
            each_field(&field, |field| {
                read.push(entry(field.bytes()?)?);
                Ok(())
            }).expect("fields");
            prop_assert_eq!(read, [written]);
        }

        #[test]
        fn whatever_the_generated_code_refuses_is_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            if wire::StoredEntry::decode(&*bytes).is_err() {
                // Malformed messages that are longer than needed may pass here: they are not
                // canonical, which whoever reads the manifest finds.
                if let Ok(read) = entry(&bytes) {
                    let mut field = Vec::new();
                    put_entry(&mut field, 5, &read);
                    prop_assert!(!field.ends_with(&bytes));
                }
            }
        }
    }
}
