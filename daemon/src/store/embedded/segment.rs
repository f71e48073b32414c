//! One segment file: a header, then blobs one after the other, each behind its length and id.
//!
//! What counts is what the index says: bytes behind the committed length are a torn tail, which
//! is normal and cut off.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use handoff_proto::chunk::ChunkId;

/// Largest segment file in bytes.
pub(super) const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Magic and format version, padded to 16 bytes.
const HEADER: [u8; 16] = *b"HANDOFFSEG\0\x01\0\0\0\0";

/// What stands before each blob: its length (little-endian) and its id.
pub(super) const PREFIX_BYTES: u64 = 4 + 32;

/// Largest blob, or part of a blob, that fits into a segment.
pub(super) const PART_BYTES_MAX: usize = 64 * 1024 * 1024 - HEADER.len() - 4 - 32;

/// Writes are gathered up to this size.
const BUFFER_BYTES: usize = 256 * 1024;

/// A segment that one writer has for itself.
#[derive(Debug)]
pub(super) struct OpenSegment {
    id: u64,
    /// Bytes that the index knows; 0 for a new file.
    committed: u64,
    /// Bytes written, the buffer's included.
    length: u64,
    file: BufWriter<File>,
    path: PathBuf,
}

/// A segment that is durable and full, but not in the index yet; its file is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct FullSegment {
    /// Its number.
    pub(super) id: u64,
    /// Bytes that the index knows; 0 for a new file.
    pub(super) committed: u64,
    /// Bytes in the file.
    pub(super) length: u64,
}

impl OpenSegment {
    /// Makes a new segment. The directory is not synced yet.
    pub(super) fn create(directory: &Path, id: u64) -> io::Result<Self> {
        let path = path(directory, id);
        let file =
            OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        file.write_all(&HEADER)?;
        Ok(Self { id, committed: 0, length: HEADER.len() as u64, file, path })
    }

    /// Opens a segment to go on behind its committed bytes.
    pub(super) fn reopen(directory: &Path, id: u64, committed: u64) -> io::Result<Self> {
        let path = path(directory, id);
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        file.set_len(committed)?;
        file.seek(SeekFrom::Start(committed))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { id, committed, length: committed, file, path })
    }

    /// Bytes of content that still fit.
    pub(super) fn room(&self) -> usize {
        let left = SEGMENT_BYTES_MAX.saturating_sub(self.length + PREFIX_BYTES);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Appends one part of a blob and returns the offset of its content.
    pub(super) fn append(&mut self, id: &ChunkId, part: &[u8]) -> io::Result<u64> {
        debug_assert!(part.len() <= self.room());
        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(id.as_bytes())?;
        self.file.write_all(part)?;
        let offset = self.length + PREFIX_BYTES;
        self.length = offset + u64::from(length);
        Ok(offset)
    }

    /// Makes what was appended durable; not yet valid, which only the index can say.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }

    /// The index knows everything now.
    pub(super) fn mark_committed(&mut self) {
        self.committed = self.length;
    }

    /// How it stands.
    pub(super) fn as_full(&self) -> FullSegment {
        FullSegment { id: self.id, committed: self.committed, length: self.length }
    }

    /// Its number.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Cuts off what the index does not know. A file without anything else is removed.
    pub(super) fn abandon(self) -> io::Result<Option<Self>> {
        let Self { id, committed, file, path, .. } = self;
        let (mut file, _unwritten) = file.into_parts();
        if committed == 0 {
            drop(file);
            std::fs::remove_file(&path)?;
            return Ok(None);
        }
        file.set_len(committed)?;
        file.seek(SeekFrom::Start(committed))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Some(Self { id, committed, length: committed, file, path }))
    }

    /// The file, for error messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl FullSegment {
    /// The index knows everything now.
    pub(super) fn mark_committed(&mut self) {
        self.committed = self.length;
    }

    /// Cuts off what the index does not know. A file without anything else is removed.
    pub(super) fn abandon(&self, directory: &Path) -> io::Result<()> {
        let path = path(directory, self.id);
        match self.committed {
            0 => std::fs::remove_file(path),
            all if all == self.length => Ok(()),
            committed => OpenOptions::new().write(true).open(path)?.set_len(committed),
        }
    }
}

/// Where a segment is.
pub(super) fn path(directory: &Path, id: u64) -> PathBuf {
    directory.join(format!("{id:012}.seg"))
}

/// The number of a segment file, when its name is one.
pub(super) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let plain = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// Whether a file starts as a segment of this format does.
pub(super) fn check_header(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut header = [0; HEADER.len()];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(header == HEADER),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn abandoned_bytes_are_cut_off_and_written_over() {
        let directory = tempfile::tempdir().expect("directory");
        let id = ChunkId::of(b"first");
        let mut segment = OpenSegment::create(directory.path(), 7).expect("segment");
        let offset = segment.append(&id, b"first").expect("append");
        segment.sync().expect("sync");
        let length = segment.as_full().length;
        segment.mark_committed();
        segment.append(&id, &[1; 2 * BUFFER_BYTES]).expect("append");
        let mut segment = segment.abandon().expect("abandon").expect("it has content");
        assert_eq!(segment.append(&id, b"again").expect("append"), length + PREFIX_BYTES);
        segment.sync().expect("sync");
        let file = File::open(segment.path()).expect("file");
        assert!(check_header(&file).expect("readable"));
        let mut content = [0; 5];
        file.read_exact_at(&mut content, offset).expect("read");
        assert_eq!(&content, b"first");
        assert_eq!(file.metadata().expect("metadata").mode() & 0o777, 0o600);
    }

    #[test]
    fn a_segment_without_committed_content_vanishes() {
        let directory = tempfile::tempdir().expect("directory");
        let mut segment = OpenSegment::create(directory.path(), 1).expect("segment");
        segment.append(&ChunkId::of(b"x"), b"x").expect("append");
        assert!(segment.abandon().expect("abandon").is_none());
        assert_eq!(directory.path().read_dir().expect("list").count(), 0);
    }

    #[test]
    fn a_full_segment_is_as_large_as_allowed() {
        let directory = tempfile::tempdir().expect("directory");
        let mut segment = OpenSegment::create(directory.path(), 1).expect("segment");
        assert_eq!(segment.room(), PART_BYTES_MAX);
        let content = vec![3; PART_BYTES_MAX];
        segment.append(&ChunkId::of(b"x"), &content).expect("append");
        segment.sync().expect("sync");
        let size = std::fs::metadata(segment.path()).expect("file").len();
        assert_eq!((size, segment.room()), (SEGMENT_BYTES_MAX, 0));
    }

    #[test]
    fn only_segment_names_are_segments() {
        assert_eq!(id_of("000000000042.seg"), Some(42));
        for name in ["42.seg", "000000000042", "+00000000042.seg", "lost+found", ".seg"] {
            assert_eq!(id_of(name), None, "{name}");
        }
    }
}
