//! Content in segment files, found through an index in SQLite.

use std::collections::HashSet;

use bytes::Bytes;
use handoff_proto::chunk::ChunkId;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Embedded, blob_reader, blob_writer::SegmentWriter, segment::PREFIX_BYTES, usage,
    writer::Touches,
};
use crate::store::{BlobError, BlobStore, BlobWriter, StoreError, Usage, UserName};

#[tonic::async_trait]
impl BlobStore for Embedded {
    async fn lacks(&self, user: &UserName, ids: &[ChunkId]) -> Result<Vec<ChunkId>, StoreError> {
        let (user, ids) = (user.clone(), ids.to_vec());
        self.readers()
            .read(move |connection| {
                let mut seen = HashSet::with_capacity(ids.len());
                let mut lacking = Vec::new();
                for id in ids {
                    if seen.insert(id) && !has(connection, &user, &id)? {
                        lacking.push(id);
                    }
                }
                Ok(lacking)
            })
            .await
    }

    async fn usage(&self, user: &UserName) -> Result<Usage, StoreError> {
        let user = user.clone();
        self.readers().read(move |connection| usage::read(connection, &user)).await
    }

    async fn owners(&self) -> Result<Vec<UserName>, StoreError> {
        let names = self
            .readers()
            .read(|connection| {
                let mut statement = connection.prepare_cached("SELECT DISTINCT user FROM blobs")?;
                statement
                    .query_map([], |row| row.get::<_, String>(0))?
                    .collect::<Result<Vec<_>, _>>()
            })
            .await?;
        // Nothing else is ever stored under.
        Ok(names.iter().filter_map(|name| UserName::parse(name).ok()).collect())
    }

    async fn list(&self, user: &UserName) -> Result<Vec<(ChunkId, u64)>, StoreError> {
        let user = user.clone();
        self.readers()
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT id, sum(length) FROM blobs WHERE user = ?1 GROUP BY id",
                )?;
                let rows = statement.query_map(params![user.as_str()], |row| {
                    let id: [u8; 32] = row.get(0)?;
                    Ok((ChunkId::from_bytes(id), row.get(1).map(i64::unsigned_abs)?))
                })?;
                rows.collect::<Result<Vec<_>, _>>()
            })
            .await
    }

    fn writer(&self, user: &UserName) -> Box<dyn BlobWriter> {
        Box::new(SegmentWriter::new(self.clone(), user.clone()))
    }

    async fn get(&self, user: &UserName, id: &ChunkId) -> Result<Bytes, BlobError> {
        let (readers, segments) = (self.readers().clone(), self.segments().clone());
        let (user, id) = (user.clone(), *id);
        tokio::task::spawn_blocking(move || blob_reader::read(&readers, &segments, &user, &id))
            .await
            // Only when the runtime is going down.
            .unwrap_or(Err(BlobError::Store(StoreError::Closed)))
    }

    fn read_blocking(&self, user: &UserName, id: &ChunkId) -> Result<Bytes, BlobError> {
        blob_reader::read(self.readers(), self.segments(), user, id)
    }

    async fn delete(&self, user: &UserName, ids: &[ChunkId]) -> Result<(), StoreError> {
        let (user, ids) = (user.clone(), ids.to_vec());
        let ranges = self
            .writer()
            .write(Touches::Nothing, move |connection| delete(connection, &user, &ids))
            .await?;
        let touched: Vec<u64> =
            ranges.iter().map(|range| range.segment).collect::<HashSet<_>>().into_iter().collect();
        let segments = self.segments().clone();
        let punched = tokio::task::spawn_blocking(move || {
            for range in merge(ranges) {
                segments.punch(range.segment, range.offset, range.length);
            }
        });
        punched.await.map_err(|_| StoreError::Closed)?;
        self.remove_empty(touched).await
    }
}

impl Embedded {
    /// Removes those of these segments in which nothing is left.
    async fn remove_empty(&self, touched: Vec<u64>) -> Result<(), StoreError> {
        for id in touched.into_iter().filter(|id| self.segments().withdraw(*id)) {
            let key = i64::try_from(id).unwrap_or(i64::MAX);
            let removed = self
                .writer()
                .write(Touches::Nothing, move |connection| {
                    connection
                        .prepare_cached(
                            "DELETE FROM segments WHERE id = ?1
                             AND NOT EXISTS (SELECT 1 FROM blobs WHERE segment = ?1)",
                        )?
                        .execute([key])
                })
                .await;
            self.segments().end_withdrawal(id, matches!(removed, Ok(1..)));
            removed?;
        }
        Ok(())
    }
}

/// A piece of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    segment: u64,
    offset: u64,
    length: u64,
}

/// Whether a user has a blob.
pub(super) fn has(
    connection: &Connection,
    user: &UserName,
    id: &ChunkId,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM blobs WHERE user = ?1 AND id = ?2 AND part = 0")?
        .query_row(params![user.as_str(), id.as_bytes()], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

/// Takes blobs out of the index and says where they were.
fn delete(
    connection: &Connection,
    user: &UserName,
    ids: &[ChunkId],
) -> rusqlite::Result<Vec<Range>> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM blobs WHERE user = ?1 AND id = ?2 RETURNING segment, offset, length, part",
    )?;
    let mut ranges = Vec::new();
    let mut change = usage::Change::default();
    for id in ids {
        let mut rows = statement.query(params![user.as_str(), id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let number = |column| row.get(column).map(i64::unsigned_abs);
            let range = Range { segment: number(0)?, offset: number(1)?, length: number(2)? };
            change.remove_part(row.get(3)?, range.length);
            ranges.push(range);
        }
    }
    change.record(connection, user)?;
    Ok(ranges)
}

/// Joins what lies next to each other: the system only frees whole blocks.
fn merge(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for range in ranges {
        let start = range.offset - PREFIX_BYTES;
        match merged.last_mut() {
            Some(last) if last.segment == range.segment && last.offset + last.length == start => {
                last.length += PREFIX_BYTES + range.length;
            }
            _ => merged.push(Range { offset: start, length: PREFIX_BYTES + range.length, ..range }),
        }
    }
    merged
}
