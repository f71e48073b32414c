//! Reads and hashes the files of a layout on several threads, each file in one piece of time.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use handoff_proto::chunk::{ChunkRef, chunk_reader};
use handoff_proto::manifest::{Entry, Kind, MODE_MASK, Timestamp};
use handoff_proto::path::TreePath;
use handoff_proto::tree::FileError;
use rustix::fs::{Stat, fstat};

use super::account::widen;
use super::layout::{Item, ItemKind};
use super::source::{Content, Directory, Source};

/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 5;

/// Reading is bound by the disk or by one core per gigabyte a second; more threads only seek.
const THREADS_MAX: usize = 8;

/// A file cannot be read as one piece.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("cannot read a file")]
    Open(#[source] FileError),
    /// It cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// It never stood still.
    #[error("`{path}` changes all the time: it changed {ATTEMPTS} times while it was read")]
    Changing {
        /// The file.
        path: TreePath,
    },
}

impl ReadError {
    /// Whether the tree is not what it was when it was walked.
    pub(super) fn is_stale(&self) -> bool {
        match self {
            Self::Open(error) => {
                error.is_not_found()
                    || matches!(error, FileError::NotRegular { .. } | FileError::Indirect { .. })
            }
            Self::Read { .. } | Self::Changing { .. } => false,
        }
    }
}

/// How reading gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It begins, with about so many bytes before it.
    Begins(u64),
    /// A file of so many bytes was read.
    Read(u64),
}

/// Turns items into entries of a manifest, in the same order. `on_read` is told by several threads.
pub(super) fn read_all(
    root: &Directory,
    items: &[Item],
    on_read: &(dyn Fn(Reading) + Sync),
) -> Result<Vec<Entry>, ReadError> {
    on_read(Reading::Begins(items.iter().map(Item::size).sum()));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || -> Result<Vec<(usize, Entry)>, ReadError> {
        let mut entries = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let entry =
                read_item(root, item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            on_read(Reading::Read(entry.size()));
            entries.push((at, entry));
        }
        Ok(entries)
    };
    let mut entries = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::with_capacity(items.len());
        for worker in workers {
            match worker.join() {
                Ok(entries) => all.extend(entries?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })?;
    entries.sort_unstable_by_key(|(at, _)| *at);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn read_item(root: &Directory, item: &Item) -> Result<Entry, ReadError> {
    let Item { path, mode, mtime, kind, .. } = item;
    let (mode, mtime, kind) = match kind {
        ItemKind::Directory => (*mode, *mtime, Kind::Directory),
        ItemKind::Symlink { target } => (*mode, *mtime, Kind::Symlink { target: target.clone() }),
        ItemKind::File { size, source: Source::Remote(chunks) } => {
            (*mode, *mtime, Kind::File { size: *size, chunks: chunks.to_vec() })
        }
        ItemKind::File { source, .. } => {
            let read = read_file(root, path, source)?;
            let kind = Kind::File { size: read.size, chunks: read.chunks };
            // What was read counts, not what the walk saw.
            let (mode, mtime) = read.meta.unwrap_or((*mode, *mtime));
            (mode, mtime, kind)
        }
    };
    Ok(Entry { path: path.clone(), mode, mtime, kind })
}

struct FileRead {
    size: u64,
    chunks: Vec<ChunkRef>,
    meta: Option<(u32, Timestamp)>,
}

fn read_file(root: &Directory, path: &TreePath, source: &Source) -> Result<FileRead, ReadError> {
    let failed = |source| ReadError::Read { path: path.clone(), source };
    for _ in 0..ATTEMPTS {
        match source.open(root, path).map_err(ReadError::Open)? {
            Content::Generated(content) => {
                let (size, chunks) = chunk(&content[..]).map_err(failed)?;
                return Ok(FileRead { size, chunks, meta: None });
            }
            Content::File(file) => {
                if let Some(read) = read_once(&file).map_err(failed)? {
                    return Ok(read);
                }
            }
        }
    }
    Err(ReadError::Changing { path: path.clone() })
}

/// Reads a file from beginning to end; `None` if it changed meanwhile.
fn read_once(file: &File) -> io::Result<Option<FileRead>> {
    let before = fstat(file)?;
    let (size, chunks) = chunk(file)?;
    let after = fstat(file)?;
    if stamp(&before) != stamp(&after) || u64::try_from(after.st_size) != Ok(size) {
        return Ok(None);
    }
    let mtime = Timestamp {
        secs: after.st_mtime,
        nanos: u32::try_from(after.st_mtime_nsec).unwrap_or_default(),
    };
    let meta = Some((widen(after.st_mode) & MODE_MASK, mtime));
    Ok(Some(FileRead { size, chunks, meta }))
}

fn chunk(content: impl io::Read) -> io::Result<(u64, Vec<ChunkRef>)> {
    let mut chunks = Vec::new();
    let size = chunk_reader(content, |chunk, _| {
        chunks.push(chunk);
        Ok::<_, io::Error>(())
    })?;
    Ok((size, chunks))
}

/// What changes whenever content or attributes do.
fn stamp(stat: &Stat) -> impl PartialEq + use<> {
    (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec)
}
