//! The content of a tree's files, from one user's chunks to the disk.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use handoff_proto::chunk::ChunkRef;
use handoff_proto::manifest::Entry;
use handoff_proto::tree::{FileError, Writer, write_chunks};

use super::originals::{self, OfUser};
use crate::store::{BlobStore, UserName};

/// Threads that write files: one waits for the disk while others decompress and hash.
const WRITERS: std::ops::RangeInclusive<usize> = 2..=4;

/// Fewer files than this are written sooner than a thread is started.
const FILES_FOR_THREADS: usize = 64;

/// One user's chunks.
pub(super) struct Source<'a> {
    pub(super) blobs: &'a dyn BlobStore,
    pub(super) user: &'a UserName,
    /// What larger files share their blocks with, where the file system can do that.
    pub(super) originals: Option<&'a OfUser>,
}

impl<'a> Source<'a> {
    /// All content is written.
    pub(super) fn new(blobs: &'a dyn BlobStore, user: &'a UserName) -> Self {
        Self { blobs, user, originals: None }
    }

    pub(super) fn read(&self, chunk: &ChunkRef) -> io::Result<bytes::Bytes> {
        let bytes = self.blobs.read_blocking(self.user, &chunk.id).map_err(io::Error::other)?;
        // The store has checked the hash; a size that differs would be the manifest's lie.
        if bytes.len() == chunk.size as usize {
            Ok(bytes)
        } else {
            Err(io::Error::other(format!("chunk {} has {} bytes", chunk.id, bytes.len())))
        }
    }

    /// Writes a file's content into one that is empty, and returns the size in bytes.
    pub(super) fn fill(&self, entry: &Entry, file: &File) -> Result<u64, FileError> {
        let chunks = entry.chunks().iter().map(|chunk| self.read(chunk));
        write_chunks(chunks, file, &entry.path)
    }

    /// Writes all these files; the first failure ends it.
    pub(super) fn write(&self, files: &[&Entry], writer: &Writer) -> Result<(), FileError> {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(entry) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let written = writer.file_filled(&entry.path, entry.mode, entry.mtime, |file| {
                    match self.originals {
                        Some(originals) if originals::is_worth_one(entry) => {
                            originals.share(self, entry, file)
                        }
                        Some(_) | None => self.fill(entry, file),
                    }
                });
                if let Err(error) = written {
                    next.store(files.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        };
        let processors = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = if files.len() < FILES_FOR_THREADS {
            1
        } else {
            processors().clamp(*WRITERS.start(), *WRITERS.end())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            workers.into_iter().fold(own, |result, worker| {
                let other = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result.and(other)
            })
        })
    }
}
