//! All segment files: who writes where, which are open for reading, which can go.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

use super::{
    make_directory,
    readers::failed,
    segment::{self, FullSegment, OpenSegment, PREFIX_BYTES, SEGMENT_BYTES_MAX},
    sync_directory,
};
use crate::store::StoreError;

/// How many segments wait for a next writer; others stay as full as they are.
const IDLE_MAX: usize = 8;

/// A segment with less room than this is not written again.
const ROOM_MIN: usize = 1 << 20;

/// How many files are kept open for reading.
const OPEN_MAX: usize = 128;

#[derive(Debug)]
pub(super) struct Segments {
    store: PathBuf,
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// Segments with room that nobody writes.
    idle: Vec<OpenSegment>,
    /// Segments that a writer has, by id.
    taken: HashSet<u64>,
    open: HashMap<u64, Arc<File>>,
}

impl Segments {
    /// Brings files and index together: cuts torn tails off, removes files without content.
    pub(super) fn open(store: &Path, connection: &Connection) -> Result<Self, StoreError> {
        let directory = store.join("segments");
        make_directory(&directory)?;
        let known = committed_lengths(connection).map_err(|source| failed(store, source))?;
        let segments =
            Self { store: store.to_owned(), directory: directory.clone(), state: Mutex::default() };
        let mut highest = known.keys().max().copied().unwrap_or(0);
        for entry in fs::read_dir(&directory).map_err(|e| segments.io("list", &directory, e))? {
            let entry = entry.map_err(|error| segments.io("list", &directory, error))?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(segment::id_of) else { continue };
            highest = highest.max(id);
            segments.tidy(id, known.get(&id).copied(), &entry)?;
        }
        segments.lock().next_id = highest + 1;
        Ok(segments)
    }

    fn tidy(
        &self,
        id: u64,
        committed: Option<u64>,
        entry: &fs::DirEntry,
    ) -> Result<(), StoreError> {
        let path = entry.path();
        let Some(committed) = committed else {
            return fs::remove_file(&path).map_err(|error| self.io("remove", &path, error));
        };
        let length = entry.metadata().map_err(|error| self.io("look at", &path, error))?.len();
        if length < committed {
            // Reading what is missing fails by itself; the rest is still good.
            tracing::error!(path = %path.display(), length, committed, "segment is too short");
            return Ok(());
        }
        let full = committed + PREFIX_BYTES + ROOM_MIN as u64 > SEGMENT_BYTES_MAX;
        let mut state = self.lock();
        if length > committed || (!full && state.idle.len() < IDLE_MAX) {
            let segment = OpenSegment::reopen(&self.directory, id, committed)
                .map_err(|error| self.io("open", &path, error))?;
            if !full && state.idle.len() < IDLE_MAX {
                state.idle.push(segment);
            }
        }
        Ok(())
    }

    /// Hands a segment with room for `wanted` bytes to a writer.
    pub(super) fn take(&self, wanted: usize) -> Result<OpenSegment, StoreError> {
        let id = {
            let mut state = self.lock();
            if let Some(position) = state.idle.iter().position(|s| s.room() >= wanted) {
                let segment = state.idle.swap_remove(position);
                state.taken.insert(segment.id());
                return Ok(segment);
            }
            state.next_id += 1;
            let id = state.next_id - 1;
            state.taken.insert(id);
            id
        };
        OpenSegment::create(&self.directory, id).map_err(|error| {
            self.lock().taken.remove(&id);
            self.io("make", &segment::path(&self.directory, id), error)
        })
    }

    /// Takes a segment back from a writer. What is not committed is cut off.
    pub(super) fn put_back(&self, segment: OpenSegment) {
        let (id, path) = (segment.id(), segment.path().to_owned());
        let kept = segment.abandon().unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "cannot cut a segment's tail off");
            None
        });
        let mut state = self.lock();
        state.taken.remove(&id);
        if let Some(segment) = kept
            && segment.room() >= ROOM_MIN
            && state.idle.len() < IDLE_MAX
        {
            state.idle.push(segment);
        }
    }

    /// Takes a full segment back from a writer. What is not committed is cut off.
    pub(super) fn put_back_full(&self, segment: &FullSegment) {
        if let Err(error) = segment.abandon(&self.directory) {
            tracing::warn!(segment = segment.id, %error, "cannot cut a segment's tail off");
        }
        self.lock().taken.remove(&segment.id);
    }

    /// Makes the names of new segments durable.
    pub(super) fn sync_directory(&self) -> Result<(), StoreError> {
        sync_directory(&self.directory)
    }

    /// The directory of the segments.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A segment open for reading.
    pub(super) fn reader(&self, id: u64) -> Result<Arc<File>, StoreError> {
        if let Some(file) = self.lock().open.get(&id) {
            return Ok(file.clone());
        }
        let path = segment::path(&self.directory, id);
        let file = File::open(&path).map_err(|error| self.io("open", &path, error))?;
        match segment::check_header(&file) {
            Ok(true) => {}
            Ok(false) => return Err(self.damaged(id, "no segment header".to_owned())),
            Err(error) => return Err(self.io("read", &path, error)),
        }
        let file = Arc::new(file);
        let mut state = self.lock();
        if state.open.len() >= OPEN_MAX {
            // Any will do: reads come in long runs from few segments.
            let some = state.open.keys().next().copied();
            some.and_then(|id| state.open.remove(&id));
        }
        state.open.insert(id, file.clone());
        Ok(file)
    }

    /// Keeps a segment from being written until it is given back or removed; false when a writer
    /// has it.
    pub(super) fn withdraw(&self, id: u64) -> bool {
        let mut state = self.lock();
        if !state.taken.insert(id) {
            return false;
        }
        state.idle.retain(|segment| segment.id() != id);
        true
    }

    /// Ends a withdrawal: removes the file when nothing in it counts any more.
    pub(super) fn end_withdrawal(&self, id: u64, empty: bool) {
        if empty {
            let path = segment::path(&self.directory, id);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove an empty segment");
            }
        }
        let mut state = self.lock();
        state.taken.remove(&id);
        if empty {
            state.open.remove(&id);
        }
    }

    /// Gives the disk space of a range back to the system; as far as that goes.
    pub(super) fn punch(&self, id: u64, offset: u64, length: u64) {
        use rustix::fs::{FallocateFlags, fallocate};
        let path = segment::path(&self.directory, id);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let punched = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| Ok(fallocate(file, flags, offset, length)?));
        if let Err(error) = punched {
            tracing::debug!(path = %path.display(), %error, "space is not given back yet");
        }
    }

    /// A segment that holds something else than was written.
    pub(super) fn damaged(&self, id: u64, what: String) -> StoreError {
        StoreError::Corrupt { what, path: segment::path(&self.directory, id) }
    }

    /// A segment that cannot be read.
    pub(super) fn read_failed(&self, id: u64, source: io::Error) -> StoreError {
        self.io("read", &segment::path(&self.directory, id), source)
    }

    /// What an error of the system means.
    pub(super) fn io(&self, act: &'static str, path: &Path, source: io::Error) -> StoreError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::DiskFull { directory: self.store.clone() }
            }
            _ => StoreError::Io { act, path: path.to_owned(), source },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Segments that hold something, and how many of their bytes count.
fn committed_lengths(connection: &Connection) -> rusqlite::Result<HashMap<u64, u64>> {
    // Segments that became empty just before a crash are removed now.
    connection
        .execute("DELETE FROM segments WHERE id NOT IN (SELECT DISTINCT segment FROM blobs)", [])?;
    connection
        .prepare("SELECT id, length FROM segments")?
        .query_map([], |row| Ok((i64::unsigned_abs(row.get(0)?), i64::unsigned_abs(row.get(1)?))))?
        .collect()
}
