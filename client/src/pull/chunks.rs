//! The contents that a pull needs, gathered before anything is changed.
//!
//! One unnamed file holds them, so that nothing is left behind however the program ends. A content
//! gets in only if it has the hash and the size that a manifest declares.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::Entry;
use handoff_proto::tree::open_regular;

/// Contents of chunks by id.
#[derive(Debug)]
pub struct Chunks {
    file: File,
    end: u64,
    places: HashMap<ChunkId, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    size: u32,
}

/// Why a content is not accepted or not there.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// It is not what its id says.
    #[error("the content of chunk {0} is not what its id says")]
    Hash(ChunkId),
    /// It was never gathered.
    #[error("chunk {0} is missing")]
    Missing(ChunkId),
    /// The disk.
    #[error("cannot keep the received content")]
    Disk(#[from] io::Error),
}

impl Chunks {
    /// Starts with nothing; `directory` says on which disk.
    ///
    /// # Errors
    ///
    /// Where no file can be created there.
    pub fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(directory)?, end: 0, places: HashMap::new() })
    }

    /// Whether this content is there.
    #[must_use]
    pub fn has(&self, id: &ChunkId) -> bool {
        self.places.contains_key(id)
    }

    /// Adds a content after checking it.
    ///
    /// # Errors
    ///
    /// Where it is not what `chunk` says, or the disk is full.
    pub fn add(&mut self, chunk: ChunkRef, content: &[u8]) -> Result<(), ChunkError> {
        if content.len() != chunk.size as usize || ChunkId::of(content) != chunk.id {
            return Err(ChunkError::Hash(chunk.id));
        }
        if !self.has(&chunk.id) {
            self.file.write_all(content)?;
            self.places.insert(chunk.id, Place { offset: self.end, size: chunk.size });
            self.end += u64::from(chunk.size);
        }
        Ok(())
    }

    /// Adds those of the wanted contents that files of the local tree hold.
    ///
    /// A file that changed since it was captured, or cannot be read, only means that its content
    /// has to come from elsewhere.
    ///
    /// # Errors
    ///
    /// Where the disk is full.
    pub fn add_local<'a>(
        &mut self,
        root: impl AsFd,
        entries: impl IntoIterator<Item = &'a Entry>,
        wanted: &HashMap<ChunkId, u32>,
    ) -> Result<(), ChunkError> {
        let mut content = Vec::new();
        for entry in entries {
            let lacks = |chunk: &ChunkRef| wanted.contains_key(&chunk.id) && !self.has(&chunk.id);
            if !entry.chunks().iter().any(lacks) {
                continue;
            }
            let Ok((file, _)) = open_regular(root.as_fd(), &entry.path) else { continue };
            let mut offset = 0;
            for chunk in entry.chunks() {
                if wanted.contains_key(&chunk.id) && !self.has(&chunk.id) {
                    content.resize(chunk.size as usize, 0);
                    let read = file.read_exact_at(&mut content, offset);
                    if read.is_err() || ChunkId::of(&content) != chunk.id {
                        break;
                    }
                    self.add(*chunk, &content)?;
                }
                offset += u64::from(chunk.size);
            }
        }
        Ok(())
    }

    /// Reads one content.
    ///
    /// # Errors
    ///
    /// Where it is missing or the disk fails.
    pub fn get(&self, id: &ChunkId) -> Result<Vec<u8>, ChunkError> {
        let place = self.places.get(id).ok_or(ChunkError::Missing(*id))?;
        let mut content = vec![0; place.size as usize];
        self.file.read_exact_at(&mut content, place.offset)?;
        if ChunkId::of(&content) == *id { Ok(content) } else { Err(ChunkError::Hash(*id)) }
    }

    /// Reads the contents of these chunks one after the other.
    #[must_use]
    pub fn reader<'a>(&'a self, chunks: &'a [ChunkRef]) -> ChunksReader<'a> {
        ChunksReader { chunks: self, rest: chunks.iter(), current: io::Cursor::default() }
    }
}

/// Reads a file's content from its chunks.
#[derive(Debug)]
pub struct ChunksReader<'a> {
    chunks: &'a Chunks,
    rest: std::slice::Iter<'a, ChunkRef>,
    current: io::Cursor<Vec<u8>>,
}

impl Read for ChunksReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let got = self.current.read(buffer)?;
            if got > 0 || buffer.is_empty() {
                return Ok(got);
            }
            let Some(next) = self.rest.next() else { return Ok(0) };
            self.current = io::Cursor::new(self.chunks.get(&next.id).map_err(io::Error::other)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(content: &[u8]) -> ChunkRef {
        ChunkRef { id: ChunkId::of(content), size: u32::try_from(content.len()).unwrap() }
    }

    #[test]
    fn contents_come_back_in_the_order_that_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut chunks = Chunks::new(directory.path()).unwrap();
        for content in [&b"one "[..], b"two ", b"one "] {
            chunks.add(chunk(content), content).unwrap();
        }
        let wanted = [chunk(b"two "), chunk(b"one "), chunk(b"two ")];
        let mut text = String::new();
        chunks.reader(&wanted).read_to_string(&mut text).unwrap();
        assert_eq!(text, "two one two ");
        assert_eq!(chunks.end, 8);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_content_that_is_not_what_its_id_says_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut chunks = Chunks::new(directory.path()).unwrap();
        let wrong = chunks.add(chunk(b"one"), b"two");
        assert!(matches!(wrong, Err(ChunkError::Hash(_))));
        assert!(matches!(chunks.get(&ChunkId::of(b"one")), Err(ChunkError::Missing(_))));
    }
}
