//! The chunks of every file of a listing.
//!
//! Everything is read: a run can give a changed file its old size and time.

use std::num::NonZero;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use handoff_proto::chunk::{ChunkRef, chunk_reader};
use handoff_proto::manifest::{Entry, Kind};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{self, FileError};

use super::note::Note;

/// More threads than this only wait for the disk.
const READERS_MAX: usize = 8;

/// Fills in the chunks of the files. Files that cannot be read are removed, with a note.
pub(super) fn fill(root: &OwnedFd, entries: &mut Vec<Entry>, notes: &mut Vec<Note>) {
    let root = root.as_fd();
    let found = read_all(root, entries);
    let mut unread = Vec::new();
    for (number, content) in found {
        match content {
            Ok(chunks) => {
                let size = chunks.iter().map(|chunk| u64::from(chunk.size)).sum();
                entries[number].kind = Kind::File { size, chunks };
            }
            Err(error) => {
                let path = entries[number].path.clone();
                notes.push(Note::LeftOut { path: path.to_string(), reason: reason(&error) });
                unread.push(path);
            }
        }
    }
    if !unread.is_empty() {
        unread.sort_unstable();
        entries.retain(|entry| unread.binary_search(&entry.path).is_err());
    }
}

type Found = Vec<(usize, Result<Vec<ChunkRef>, FileError>)>;

fn read_all(root: BorrowedFd<'_>, entries: &[Entry]) -> Found {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Found::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(number) else { return found };
            if matches!(entry.kind, Kind::File { .. }) {
                found.push((number, read_one(root, &entry.path)));
            }
        }
    };
    let readers = thread::available_parallelism().map_or(1, NonZero::get).min(READERS_MAX);
    thread::scope(|scope| {
        let others: Vec<_> = (1..readers).map(|_| scope.spawn(work)).collect();
        let mut found = work();
        for other in others {
            found.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        found
    })
}

fn read_one(root: BorrowedFd<'_>, path: &TreePath) -> Result<Vec<ChunkRef>, FileError> {
    let (file, _) = tree::open_regular(root, path)?;
    let mut chunks = Vec::new();
    chunk_reader(file, |chunk, _| {
        chunks.push(chunk);
        Ok(())
    })
    .map_err(|source: std::io::Error| FileError::Io {
        action: "read",
        path: path.to_string(),
        source,
    })?;
    Ok(chunks)
}

/// The system's reason; the path is said elsewhere.
fn reason(error: &FileError) -> String {
    match error {
        FileError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
