//! Content that was set aside while its remote is away: a thin bundle, and the ids of what is in it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use handoff_proto::bundle::{BundleError, BundleLimits, Item, Reader, Writer};
use handoff_proto::chunk::{ChunkId, ChunkIdSet, ChunkRef};
use rustix::fs::statvfs;

use super::error::OutboxError;
use crate::capture::{Capture, ChangedSince};
use crate::settings::{Durability, replace_private};

/// Compression of what is set aside: it may lie there for days, and is read once.
const LEVEL: i32 = 3;

/// What stays free on the disk: a laptop whose disk we filled would be worse off than one whose
/// handoff waits.
const FREE_FLOOR_BYTES: u64 = 64 << 20;

/// The bundle.
const BUNDLE: &str = "spool";

/// The ids of the chunks in it, one after the other; written last.
const IDS: &str = "spool.ids";

/// Content that is or will be set aside in an entry's directory.
#[derive(Debug)]
pub(super) struct Spool {
    bundle: PathBuf,
    ids: PathBuf,
}

/// Why content could not be written to the spool.
enum WriteError {
    Io(io::Error),
    Changed(ChangedSince),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Spool {
    pub(super) fn at(directory: &Path) -> Self {
        Self { bundle: directory.join(BUNDLE), ids: directory.join(IDS) }
    }

    /// Sets everything of a captured tree aside but what is known already at the other end.
    /// It is on disk afterwards.
    pub(super) fn write(
        &self,
        name: &str,
        capture: &Capture,
        known: &ChunkIdSet,
    ) -> Result<(), OutboxError> {
        let (mut ids, mut bytes) = (ChunkIdSet::default(), 0);
        for chunk in capture.manifest.chunks().filter(|chunk| !known.contains(&chunk.id)) {
            if ids.insert(chunk.id) {
                bytes += u64::from(chunk.size);
            }
        }
        self.check_room(bytes)?;
        let written: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        replace_private(&self.bundle, Durability::Power, |file| fill(file, capture, ids))
            .map_err(|error| self.failed(name, error))?;
        replace_private(&self.ids, Durability::Power, |file| file.write_all(&written))
            .map_err(|source| OutboxError::Write { path: self.ids.clone(), source })
    }

    /// The ids of what was set aside; none if nothing was.
    pub(super) fn ids(&self) -> Result<ChunkIdSet, OutboxError> {
        match std::fs::read(&self.ids) {
            Ok(bytes) => {
                let (ids, rest) = bytes.as_chunks();
                if !rest.is_empty() {
                    return Err(OutboxError::Damaged { path: self.ids.clone() });
                }
                Ok(ids.iter().map(|id| ChunkId::from_bytes(*id)).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ChunkIdSet::default()),
            Err(source) => Err(OutboxError::Read { path: self.ids.clone(), source }),
        }
    }

    /// Begins to read what was set aside of these chunks.
    pub(super) fn read(
        &self,
        chunks: impl Iterator<Item = ChunkRef>,
    ) -> Result<SpoolReader, BundleError> {
        let chunks: HashSet<ChunkRef> = chunks.collect();
        let total = chunks.iter().map(|chunk| u64::from(chunk.size)).sum();
        let file = File::open(&self.bundle).map_err(|source| BundleError::Read {
            at: self.bundle.display().to_string(),
            source,
        })?;
        let mut reader = Reader::new(BufReader::new(file), BundleLimits::new(0, total));
        reader.expect(chunks)?;
        Ok(SpoolReader { reader })
    }

    /// The plain size, as though nothing could be compressed.
    fn check_room(&self, bytes: u64) -> Result<(), OutboxError> {
        let directory = self.bundle.parent().unwrap_or(&self.bundle);
        let disk = statvfs(directory).map_err(|error| OutboxError::Read {
            path: directory.to_owned(),
            source: error.into(),
        })?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = bytes.saturating_add(FREE_FLOOR_BYTES);
        if needed > free {
            return Err(OutboxError::NoRoom { path: directory.to_owned(), needed, free });
        }
        Ok(())
    }

    fn failed(&self, name: &str, error: WriteError) -> OutboxError {
        match error {
            WriteError::Io(source) => OutboxError::Write { path: self.bundle.clone(), source },
            WriteError::Changed(source) => OutboxError::Changed { name: name.to_owned(), source },
        }
    }
}

fn fill(file: &mut File, capture: &Capture, ids: ChunkIdSet) -> Result<(), WriteError> {
    let failed = |error| match error {
        BundleError::Write(error) => WriteError::Io(error),
        other => WriteError::Io(io::Error::other(other)),
    };
    let mut writer = Writer::new(BufWriter::new(file), LEVEL).map_err(failed)?;
    let mut chunks = capture.verified_chunks(ids);
    while let Some((id, content)) = chunks.next_chunk().map_err(WriteError::Changed)? {
        writer.chunk(&id, content).map_err(failed)?;
    }
    writer.finish().map_err(failed)?.flush()?;
    Ok(())
}

/// Content that was set aside, from its beginning to its end.
#[derive(Debug)]
pub(super) struct SpoolReader {
    reader: Reader<BufReader<File>>,
}

impl SpoolReader {
    /// The next chunk, verified.
    pub(super) fn next_chunk(&mut self) -> Result<Option<(ChunkId, Vec<u8>)>, BundleError> {
        loop {
            match self.reader.next_item()? {
                Some(Item::Chunk(chunk)) => return Ok(Some((chunk.id(), chunk.into_content()))),
                // None is expected, so that none is accepted.
                Some(Item::Manifest(_)) => {}
                None => return Ok(None),
            }
        }
    }
}
