//! Reads and hashes the files of a layout on several threads, each file in one piece of time.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use handoff_proto::chunk::{ChunkRef, Cuts, chunk_reader_by};
use handoff_proto::manifest::{Entry, Kind, MODE_MASK};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Origin};
use rustix::fs::fstat;

use super::account::widen;
use super::layout::{Item, ItemKind};
use super::source::{Content, Directory, Source};
use super::stat_cache::{Margins, Moment, Recalled, Stamp, StatCache, read_cost};

/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 5;

/// Reading is bound by the disk or by one core per gigabyte a second; more threads only seek.
const THREADS_MAX: usize = 8;

/// So few files are read before another thread has begun.
const FILES_OF_ONE_THREAD: usize = 32;

/// So many items are looked up before another thread has begun.
const ITEMS_OF_ONE_THREAD: usize = 8192;

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
    /// What there is to read is known. From here on much of the work keeps one processor busy.
    Listed,
    /// It begins, with about so many bytes before it.
    Begins(u64),
    /// A file of so many bytes was read.
    Read(u64),
}

/// A layout whose contents are known; all lists are in the order of the items.
#[derive(Debug)]
pub(super) struct ReadTree {
    pub(super) entries: Vec<Entry>,
    pub(super) sources: Vec<Source>,
    pub(super) origins: Vec<Origin>,
    /// What each file on disk was when its content was read, now or by an earlier capture; none for
    /// one that may have changed since without being stamped anew.
    pub(super) stamps: Vec<Option<Stamp>>,
    /// What reading again would cost that is worth remembering; see [`StatCache::update`].
    pub(super) new_cost: u64,
}

/// A file whose content is not known yet.
struct Unread {
    at: usize,
    size: u64,
    /// What it held before.
    before: Vec<ChunkRef>,
}

/// Turns items, which are sorted by path, into entries of a manifest, reading what the cache does
/// not know. `on_read` is told by several threads.
pub(super) fn read_all(
    root: &Directory,
    items: Vec<Item>,
    cache: &StatCache,
    began: Moment,
    on_read: &(dyn Fn(Reading) + Sync),
) -> Result<ReadTree, ReadError> {
    let (mut tree, unread) = recall(items, cache);
    on_read(Reading::Begins(unread.iter().map(|file| file.size).sum()));
    for (at, read) in read_unread(root, &tree, &unread, began, on_read)? {
        tree.fill_in(at, read);
    }
    Ok(tree)
}

/// Everything that is known without reading, and the files that are to be read.
fn recall(items: Vec<Item>, cache: &StatCache) -> (ReadTree, Vec<Unread>) {
    let mut tree = ReadTree {
        entries: Vec::with_capacity(items.len()),
        sources: Vec::with_capacity(items.len()),
        origins: Vec::with_capacity(items.len()),
        stamps: Vec::with_capacity(items.len()),
        new_cost: 0,
    };
    let mut unread = Vec::new();
    let recalled = look_up(&items, cache);
    for (at, (item, recalled)) in items.into_iter().zip(recalled).enumerate() {
        let Item { path, mode, mtime, origin, kind, stamp } = item;
        let (kind, source, stamp) = match kind {
            ItemKind::Directory => (Kind::Directory, Source::Tree, None),
            ItemKind::Symlink { target } => (Kind::Symlink { target }, Source::Tree, None),
            ItemKind::File { size, source: Source::Remote(chunks) } => {
                (Kind::File { size, chunks: chunks.to_vec() }, Source::Remote(chunks), None)
            }
            ItemKind::File { size, source } => match recalled {
                Recalled::Same(chunks) => (Kind::File { size, chunks }, source, stamp),
                Recalled::Changed(before) => {
                    unread.push(Unread { at, size, before });
                    (Kind::File { size, chunks: Vec::new() }, source, None)
                }
                Recalled::Nothing => {
                    unread.push(Unread { at, size, before: Vec::new() });
                    (Kind::File { size, chunks: Vec::new() }, source, None)
                }
            },
        };
        tree.entries.push(Entry { path, mode, mtime, kind });
        tree.sources.push(source);
        tree.origins.push(origin);
        tree.stamps.push(stamp);
    }
    (tree, unread)
}

/// What the cache knows of each item. On several threads where there are many.
fn look_up(items: &[Item], cache: &StatCache) -> Vec<Recalled> {
    let look_up = |items: &[Item]| -> Vec<Recalled> {
        let mut cursor = cache.cursor(items.first().map(|item| item.path.as_bytes()));
        let mut find = |item: &Item| match (&item.kind, &item.stamp) {
            (ItemKind::File { source, .. }, Some(stamp)) if source.is_on_disk() => {
                cursor.find(item.path.as_bytes(), stamp)
            }
            _ => Recalled::Nothing,
        };
        items.iter().map(&mut find).collect()
    };
    let part = items.len().div_ceil(threads()).max(ITEMS_OF_ONE_THREAD);
    thread::scope(|scope| {
        let mut parts = items.chunks(part);
        let own = parts.next().unwrap_or_default();
        let others: Vec<_> = parts
            .map(|part| {
                (part, thread::Builder::new().spawn_scoped(scope, move || look_up(part)).ok())
            })
            .collect();
        let mut all = look_up(own);
        for (part, other) in others {
            all.append(&mut match other {
                Some(other) => {
                    other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                // The system allows no more threads.
                None => look_up(part),
            });
        }
        all
    })
}

fn read_unread(
    root: &Directory,
    tree: &ReadTree,
    unread: &[Unread],
    began: Moment,
    on_read: &(dyn Fn(Reading) + Sync),
) -> Result<Vec<(usize, FileRead)>, ReadError> {
    let threads = if unread.len() < FILES_OF_ONE_THREAD { 1 } else { threads() };
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || -> Result<Vec<(usize, FileRead)>, ReadError> {
        let (mut done, mut margins) = (Vec::new(), Margins::default());
        while !failed.load(Ordering::Relaxed) {
            let Some(file) = unread.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let (at, before) = (file.at, &*file.before);
            let mut reader = FileReader { root, before, began, margins: &mut margins };
            let read = reader
                .read(&tree.entries[at].path, &tree.sources[at])
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            on_read(Reading::Read(read.size));
            done.push((at, read));
        }
        Ok(done)
    };
    thread::scope(|scope| {
        // Where a system allows no more threads, those that there are do the work.
        let others: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut all = work();
        for other in others {
            let done = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all = all.and_then(|mut all| done.map(|done| all.extend(done)).map(|()| all));
        }
        all
    })
}

/// How many threads share the work of a capture.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

impl ReadTree {
    fn fill_in(&mut self, at: usize, read: FileRead) {
        let entry = &mut self.entries[at];
        // What was read counts, not what the walk saw.
        if let Some(meta) = read.meta {
            (entry.mode, entry.mtime) = (meta.mode, meta.stamp.mtime);
            if meta.is_settled {
                self.stamps[at] = Some(meta.stamp);
                self.new_cost = self.new_cost.saturating_add(read_cost(read.size));
            }
        }
        entry.kind = Kind::File { size: read.size, chunks: read.chunks };
    }
}

struct FileRead {
    size: u64,
    chunks: Vec<ChunkRef>,
    /// Of a file on disk.
    meta: Option<FileMeta>,
}

/// What a file on disk was while it was read.
struct FileMeta {
    /// Permission bits.
    mode: u32,
    stamp: Stamp,
    /// Whether any later change gives it another stamp.
    is_settled: bool,
}

/// Reads one file.
struct FileReader<'a> {
    root: &'a Directory,
    /// What it held before.
    before: &'a [ChunkRef],
    began: Moment,
    margins: &'a mut Margins,
}

impl FileReader<'_> {
    fn read(&mut self, path: &TreePath, source: &Source) -> Result<FileRead, ReadError> {
        let failed = |source| ReadError::Read { path: path.clone(), source };
        let cuts = cuts(path);
        for _ in 0..ATTEMPTS {
            match source.open(self.root, path).map_err(ReadError::Open)? {
                Content::Generated(content) => {
                    let (size, chunks) = chunk(&content[..], cuts, &[]).map_err(failed)?;
                    return Ok(FileRead { size, chunks, meta: None });
                }
                Content::File(file) => {
                    if let Some(read) = self.read_once(&file, cuts).map_err(failed)? {
                        return Ok(read);
                    }
                }
            }
        }
        Err(ReadError::Changing { path: path.clone() })
    }

    /// Reads a file from beginning to end; `None` if it changed meanwhile.
    fn read_once(&mut self, file: &File, cuts: &Cuts) -> io::Result<Option<FileRead>> {
        let before = fstat(file)?;
        let (size, chunks) = chunk(file, cuts, self.before)?;
        let after = fstat(file)?;
        let stamp = Stamp::from_stat(&after);
        if Stamp::from_stat(&before) != stamp || stamp.size != size {
            return Ok(None);
        }
        let margin = self.margins.of(file, after.st_dev, &stamp);
        let meta = FileMeta {
            mode: widen(after.st_mode) & MODE_MASK,
            stamp,
            is_settled: self.began.is_after(&stamp, margin),
        };
        Ok(Some(FileRead { size, chunks, meta: Some(meta) }))
    }
}

/// Where the content of this path is cut.
fn cuts(path: &TreePath) -> &'static Cuts {
    let name = path.file_name();
    let is_index = name == b"index" || name.starts_with(b"sharedindex.");
    if is_index && path.has_git_component() { &Cuts::GIT_INDEX } else { &Cuts::FILE }
}

pub(super) fn chunk(
    content: impl io::Read,
    cuts: &Cuts,
    before: &[ChunkRef],
) -> io::Result<(u64, Vec<ChunkRef>)> {
    let mut chunks = Vec::with_capacity(before.len());
    let size = chunk_reader_by(cuts, before, content, |chunk, _| {
        chunks.push(chunk);
        Ok::<_, io::Error>(())
    })?;
    Ok((size, chunks))
}
