//! Blobs on their way in: appended to segments, made durable, then put into the index at once.

use std::{collections::HashSet, io, mem};

use handoff_proto::chunk::{Chunk, ChunkId};
use rusqlite::{Connection, params};

use super::{
    Embedded, blobs,
    segment::{FullSegment, OpenSegment, PART_BYTES_MAX},
    usage,
    writer::Touches,
};
use crate::store::{BLOB_BYTES_MAX, BlobError, BlobWriter, StoreError, UserName};

/// Stores blobs of one user.
pub(super) struct SegmentWriter {
    store: Embedded,
    user: UserName,
    /// The segment being written.
    open: Option<OpenSegment>,
    /// Full ones, durable but not in the index yet.
    full: Vec<FullSegment>,
    rows: Vec<Row>,
    /// Everything put so far.
    seen: HashSet<ChunkId>,
    /// Those of them that were there before.
    skipped: Vec<ChunkId>,
    state: WriterState,
}

/// Whether a commit can still succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterState {
    Sound,
    /// A write failed: what is in the segments is unknown.
    Broken,
}

/// A row of the index.
struct Row {
    id: ChunkId,
    part: u32,
    segment: u64,
    offset: u64,
    length: usize,
}

impl SegmentWriter {
    pub(super) fn new(store: Embedded, user: UserName) -> Self {
        Self {
            store,
            user,
            open: None,
            full: Vec::new(),
            rows: Vec::new(),
            seen: HashSet::new(),
            skipped: Vec::new(),
            state: WriterState::Sound,
        }
    }

    fn append(&mut self, id: &ChunkId, bytes: &[u8]) -> Result<(), StoreError> {
        let (mut rest, mut part) = (bytes, 0);
        loop {
            let room = self.make_room(rest.len())?;
            let (here, after) = rest.split_at(rest.len().min(room));
            self.append_part(id, part, here)?;
            if after.is_empty() {
                return Ok(());
            }
            (rest, part) = (after, part + 1);
        }
    }

    /// Sees to a segment in which the next part has its place, and says how long that may be.
    fn make_room(&mut self, wanted: usize) -> Result<usize, StoreError> {
        let wanted = wanted.min(PART_BYTES_MAX);
        if self.open.as_ref().is_some_and(|segment| segment.room() < wanted) {
            self.sync_open()?;
            self.full.extend(self.open.take().map(|segment| segment.as_full()));
        }
        if let Some(segment) = &self.open {
            return Ok(segment.room());
        }
        let segment = self.store.segments().take(wanted)?;
        let room = segment.room();
        self.open = Some(segment);
        Ok(room)
    }

    fn append_part(&mut self, id: &ChunkId, part: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(segment) = &mut self.open else { return Err(StoreError::Closed) };
        let offset = segment
            .append(id, bytes)
            .map_err(|error| self.store.segments().io("write", segment.path(), error))?;
        let (segment, length) = (segment.id(), bytes.len());
        self.rows.push(Row { id: *id, part, segment, offset, length });
        Ok(())
    }

    fn sync_open(&mut self) -> Result<(), StoreError> {
        let Some(segment) = &mut self.open else { return Ok(()) };
        let synced = segment.sync();
        synced.map_err(|error| self.store.segments().io("sync", segment.path(), error))
    }

    /// Makes everything durable and returns how the segments stand.
    fn sync(&mut self) -> Result<Vec<FullSegment>, StoreError> {
        self.sync_open()?;
        let open = self.open.as_ref().map(OpenSegment::as_full);
        let written: Vec<FullSegment> = self.full.iter().copied().chain(open).collect();
        if written.iter().any(|segment| segment.committed == 0) {
            self.store.segments().sync_directory()?;
        }
        Ok(written)
    }

    /// What a writer says after a write has failed.
    fn broken(&self) -> StoreError {
        let directory = self.store.segments().directory();
        let source = io::Error::other("an earlier write failed");
        self.store.segments().io("go on writing in", directory, source)
    }
}

impl BlobWriter for SegmentWriter {
    fn put_verified(&mut self, chunk: Chunk<&[u8]>) -> Result<(), BlobError> {
        let (id, bytes) = (&chunk.id(), chunk.content());
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(BlobError::TooLarge { id: *id, bytes: bytes.len() });
        }
        if self.state == WriterState::Broken {
            return Err(self.broken().into());
        }
        if self.seen.contains(id) {
            return Ok(());
        }
        let known = self.store.readers().read_blocking(|db| blobs::has(db, &self.user, id))?;
        if known {
            self.skipped.push(*id);
        } else if let Err(error) = self.append(id, bytes) {
            self.state = WriterState::Broken;
            return Err(error.into());
        }
        self.seen.insert(*id);
        Ok(())
    }

    fn write_ahead(&mut self) -> Result<(), BlobError> {
        if self.state == WriterState::Broken {
            return Err(self.broken().into());
        }
        // The system tells of a failure once: a commit that asked again would not hear of it.
        self.sync_open().inspect_err(|_| self.state = WriterState::Broken)?;
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), BlobError> {
        if self.state == WriterState::Broken {
            return Err(self.broken().into());
        }
        let written = self.sync()?;
        let (user, mut rows) = (self.user.clone(), mem::take(&mut self.rows));
        // Neighbours in the index are written together; a stable order keeps parts together.
        rows.sort_by_key(|row| row.id);
        let skipped = mem::take(&mut self.skipped);
        if rows.is_empty() && skipped.is_empty() {
            return Ok(());
        }
        let indexed = self.store.writer().write_blocking(Touches::Nothing, move |db| {
            index(db, &user, &written, &rows, &skipped)
        });
        match indexed {
            Ok(Indexed::All) => {
                self.full.iter_mut().for_each(FullSegment::mark_committed);
                if let Some(segment) = &mut self.open {
                    segment.mark_committed();
                }
                Ok(())
            }
            Ok(Indexed::Nothing { vanished }) => Err(BlobError::Missing { id: vanished }),
            Err(error) => {
                if matches!(error, StoreError::Ambiguous { .. }) {
                    // The index may know these bytes: leave them for the next start to judge.
                    self.full.clear();
                    self.open = None;
                }
                Err(error.into())
            }
        }
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        for segment in self.full.drain(..) {
            self.store.segments().put_back_full(&segment);
        }
        if let Some(segment) = self.open.take() {
            self.store.segments().put_back(segment);
        }
    }
}

/// What became of the rows.
enum Indexed {
    All,
    /// A blob that was skipped as present is gone: nothing was changed.
    Nothing {
        vanished: ChunkId,
    },
}

fn index(
    connection: &Connection,
    user: &UserName,
    written: &[FullSegment],
    rows: &[Row],
    skipped: &[ChunkId],
) -> rusqlite::Result<Indexed> {
    for id in skipped {
        if !blobs::has(connection, user, id)? {
            return Ok(Indexed::Nothing { vanished: *id });
        }
    }
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut update = connection.prepare_cached(
        "INSERT INTO segments (id, length) VALUES (?1, ?2)
         ON CONFLICT (id) DO UPDATE SET length = ?2",
    )?;
    for segment in written {
        update.execute(params![number(segment.id), number(segment.length)])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO blobs (user, id, part, segment, offset, length)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?;
    let mut inserted = 0;
    let mut change = usage::Change::default();
    for row in rows {
        // Another writer may have been faster with the same blob: then none of its parts counts.
        if row.part == 0 || inserted > 0 {
            inserted = insert.execute(params![
                user.as_str(),
                row.id.as_bytes(),
                row.part,
                number(row.segment),
                number(row.offset),
                number(row.length as u64),
            ])?;
            if inserted > 0 {
                change.add_part(row.part, row.length as u64);
            }
        }
    }
    change.record(connection, user)?;
    Ok(Indexed::All)
}
