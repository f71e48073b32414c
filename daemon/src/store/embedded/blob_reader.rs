//! Reads blobs out of segments and checks what it read.

use std::{io, os::unix::fs::FileExt};

use bytes::Bytes;
use handoff_proto::chunk::ChunkId;
use rusqlite::{Connection, params};

use super::{readers::Readers, segments::Segments};
use crate::store::{BlobError, UserName};

/// Where a part of a blob is.
struct Part {
    segment: u64,
    offset: u64,
    length: usize,
}

/// Reads one blob on this thread, which must be allowed to block.
pub(super) fn read(
    readers: &Readers,
    segments: &Segments,
    user: &UserName,
    id: &ChunkId,
) -> Result<Bytes, BlobError> {
    let parts = readers.read_blocking(|connection| parts_of(connection, user, id))?;
    let Some(first) = parts.first() else {
        return Err(BlobError::Missing { id: *id });
    };
    let problem = match read_parts(segments, &parts) {
        Ok(bytes) if ChunkId::of(&bytes) == *id => return Ok(bytes.into()),
        Ok(_) => segments.damaged(first.segment, format!("blob {id} does not match its id")),
        Err(error) => error,
    };
    // Deleted meanwhile, and its place given back?
    match readers.read_blocking(|connection| parts_of(connection, user, id))?.is_empty() {
        true => Err(BlobError::Missing { id: *id }),
        false => Err(problem.into()),
    }
}

fn parts_of(connection: &Connection, user: &UserName, id: &ChunkId) -> rusqlite::Result<Vec<Part>> {
    connection
        .prepare_cached(
            "SELECT segment, offset, length FROM blobs WHERE user = ?1 AND id = ?2 ORDER BY part",
        )?
        .query_map(params![user.as_str(), id.as_bytes()], |row| {
            Ok(Part {
                segment: i64::unsigned_abs(row.get(0)?),
                offset: i64::unsigned_abs(row.get(1)?),
                length: row.get::<_, u32>(2)? as usize,
            })
        })?
        .collect()
}

fn read_parts(segments: &Segments, parts: &[Part]) -> Result<Vec<u8>, crate::store::StoreError> {
    let mut bytes = vec![0; parts.iter().map(|part| part.length).sum()];
    let mut rest = bytes.as_mut_slice();
    for part in parts {
        let (here, after) = rest.split_at_mut(part.length);
        let file = segments.reader(part.segment)?;
        file.read_exact_at(here, part.offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                segments.damaged(part.segment, "segment is too short".to_owned())
            }
            _ => segments.read_failed(part.segment, error),
        })?;
        rest = after;
    }
    Ok(bytes)
}
