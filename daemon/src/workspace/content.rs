//! The content of a tree's files, from one user's chunks to the disk.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use handoff_proto::chunk::ChunkRef;
use handoff_proto::manifest::Entry;
use handoff_proto::tree::{FileError, Writer};

use crate::store::{BlobStore, UserName};

/// Threads that write files: one waits for the disk while the other decompresses and hashes.
const WRITERS: usize = 2;

/// Fewer files than this are written sooner than a thread is started.
const FILES_FOR_THREADS: usize = 64;

/// One user's chunks.
pub(super) struct Source<'a> {
    pub(super) blobs: &'a dyn BlobStore,
    pub(super) user: &'a UserName,
}

impl Source<'_> {
    pub(super) fn read(&self, chunk: &ChunkRef) -> io::Result<bytes::Bytes> {
        let bytes = self.blobs.read_blocking(self.user, &chunk.id).map_err(io::Error::other)?;
        // The store has checked the hash; a size that differs would be the manifest's lie.
        if bytes.len() == chunk.size as usize {
            Ok(bytes)
        } else {
            Err(io::Error::other(format!("chunk {} has {} bytes", chunk.id, bytes.len())))
        }
    }

    /// Writes all these files; the first failure ends it.
    pub(super) fn write(&self, files: &[&Entry], writer: &Writer) -> Result<(), FileError> {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(entry) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let chunks = entry.chunks().iter().map(|chunk| self.read(chunk));
                let written = writer.file_from_chunks(&entry.path, entry.mode, entry.mtime, chunks);
                if let Err(error) = written {
                    next.store(files.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        };
        let threads = if files.len() < FILES_FOR_THREADS { 1 } else { WRITERS };
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
