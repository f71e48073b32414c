//! Reads captured content again, chunk by chunk, to send it.

use std::os::unix::fs::FileExt as _;

use handoff_proto::chunk::{ChunkId, ChunkIdSet, ChunkRef};
use handoff_proto::manifest::Entry;
use handoff_proto::path::TreePath;
use handoff_proto::tree::FileError;

use super::Capture;
use super::source::Content;
use super::stat_cache::Stamp;

/// A file is no longer what was captured.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` changed after it was captured")]
pub struct ChangedSince {
    /// The file.
    pub path: TreePath,
    /// Why it cannot be read any more, if that is what changed.
    #[source]
    pub source: Option<std::io::Error>,
    /// Whether only its hash tells: the next capture must not rely on the file's times either.
    pub unnoticed: bool,
}

/// Chunks of a capture in order of first use, each once, with their content.
#[derive(Debug)]
pub struct Chunks<'a> {
    capture: &'a Capture,
    wanted: ChunkIdSet,
    entry: usize,
    /// The next chunk of that entry, and where it begins.
    chunk: usize,
    offset: u64,
    open: Option<Content>,
    buffer: Vec<u8>,
    check: Check,
}

/// How content is found to be what was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// By what the file system says of the file, where that can be relied on.
    Stamps,
    /// By its hashes.
    Hashes,
}

impl Capture {
    /// The content of these chunks, for whoever checks the hashes: files that have not been touched
    /// are not hashed again.
    #[must_use]
    pub fn chunks(&self, wanted: ChunkIdSet) -> Chunks<'_> {
        self.chunks_by(Check::Stamps, wanted)
    }

    /// The same, checked against their hashes here: for what nobody reads back soon.
    #[must_use]
    pub fn verified_chunks(&self, wanted: ChunkIdSet) -> Chunks<'_> {
        self.chunks_by(Check::Hashes, wanted)
    }

    /// What is carried at this place: the entries, then the files of the session.
    fn carried(&self, at: usize) -> Option<&Entry> {
        let entries = &self.manifest.entries;
        let files = self.manifest.session.as_ref().map_or(&[][..], |session| &session.files);
        entries.get(at).or_else(|| files.get(at.checked_sub(entries.len())?))
    }

    fn chunks_by(&self, check: Check, wanted: ChunkIdSet) -> Chunks<'_> {
        Chunks {
            capture: self,
            wanted,
            entry: 0,
            chunk: 0,
            offset: 0,
            open: None,
            buffer: Vec::new(),
            check,
        }
    }

    /// The first file whose content is not what was captured, among those with these chunks:
    /// compares hashes, as a program that writes through a mapping may leave a file's times alone.
    #[must_use]
    pub fn find_changed(&self, wanted: ChunkIdSet) -> Option<ChangedSince> {
        let mut chunks = self.verified_chunks(wanted);
        loop {
            match chunks.next_chunk() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(changed) => return Some(ChangedSince { unnoticed: true, ..changed }),
            }
        }
    }

    /// Reads the whole content of the file that is entry `at` of the manifest, checked against its
    /// hashes; nothing for what is no file. For files that fit into memory.
    ///
    /// # Errors
    ///
    /// Where the content has changed since it was captured.
    pub fn read_whole(&self, at: usize, content: &mut Vec<u8>) -> Result<(), ChangedSince> {
        content.clear();
        let mut chunks =
            Chunks { entry: at, ..self.chunks_by(Check::Hashes, ChunkIdSet::default()) };
        let mut offset = 0;
        for &chunk in self.manifest.entries[at].chunks() {
            chunks.read(chunk, offset)?;
            content.extend_from_slice(&chunks.buffer);
            offset += u64::from(chunk.size);
        }
        Ok(())
    }
}

impl Chunks<'_> {
    /// The next chunk with its content; `None` at the end.
    ///
    /// # Errors
    ///
    /// Where the content has changed since it was captured.
    pub fn next_chunk(&mut self) -> Result<Option<(ChunkId, &[u8])>, ChangedSince> {
        while !self.wanted.is_empty()
            && let Some(entry) = self.capture.carried(self.entry)
        {
            let Some(&chunk) = entry.chunks().get(self.chunk) else {
                self.entry += 1;
                (self.chunk, self.offset, self.open) = (0, 0, None);
                continue;
            };
            let offset = self.offset;
            self.chunk += 1;
            self.offset += u64::from(chunk.size);
            if self.wanted.remove(&chunk.id) {
                self.read(chunk, offset)?;
                return Ok(Some((chunk.id, &self.buffer)));
            }
        }
        Ok(None)
    }

    fn read(&mut self, chunk: ChunkRef, offset: u64) -> Result<(), ChangedSince> {
        let Capture { sources, directory, stamps, .. } = self.capture;
        let Some(Entry { path, .. }) = self.capture.carried(self.entry) else { return Ok(()) };
        let changed = |source| ChangedSince { path: path.clone(), source, unnoticed: false };
        let content = match &mut self.open {
            Some(content) => content,
            none => {
                let opened = sources[self.entry].open(directory, path);
                none.insert(opened.map_err(|error| changed(Some(cause(error))))?)
            }
        };
        self.buffer.resize(chunk.size as usize, 0);
        content.read_exact_at(&mut self.buffer, offset).map_err(|error| changed(Some(error)))?;
        let stamp = stamps[self.entry].filter(|_| self.check == Check::Stamps);
        let is_untouched = match (&content, stamp) {
            (Content::File(file), Some(stamp)) => {
                Stamp::of(file).map_err(|error| changed(Some(error)))? == stamp
            }
            (Content::File(_) | Content::Generated(_), _) => false,
        };
        // One that was only linked or renamed is touched, and the same.
        if is_untouched || ChunkId::of(&self.buffer) == chunk.id {
            Ok(())
        } else {
            Err(changed(None))
        }
    }
}

impl Content {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset),
            Self::Generated(content) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let part = content.get(start..).and_then(|rest| rest.get(..buffer.len()));
                buffer.copy_from_slice(part.ok_or(std::io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Generated(_) => "Generated",
        })
    }
}

fn cause(error: FileError) -> std::io::Error {
    match error {
        FileError::Io { source, .. } => source,
        other => std::io::Error::other(other),
    }
}
