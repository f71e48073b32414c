//! What is handed off: a snapshot and where its content can be had.

use std::sync::Arc;

use handoff_proto::chunk::{ChunkId, ChunkIdSet};
use handoff_proto::manifest::{SnapshotId, SnapshotManifest};

use crate::capture::{self, Capture, ChangedSince};
use crate::outbox::{self, Kept};

/// A snapshot on its way.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// Captured by this process; its content is in the tree.
    Captured(Arc<Capture>),
    /// Captured by an earlier process.
    Kept(Arc<Kept>),
}

/// Chunks with their content, each once, in the order in which they are had most easily.
#[derive(Debug)]
pub(super) enum Chunks<'a> {
    Captured(capture::Chunks<'a>),
    Kept(outbox::Chunks<'a>),
}

impl Parcel {
    /// The snapshot.
    #[must_use]
    pub fn manifest(&self) -> &SnapshotManifest {
        match self {
            Self::Captured(capture) => &capture.manifest,
            Self::Kept(kept) => &kept.manifest,
        }
    }

    /// Its canonical encoding.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        match self {
            Self::Captured(capture) => &capture.encoded,
            Self::Kept(kept) => &kept.encoded,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        match self {
            Self::Captured(capture) => capture.id,
            Self::Kept(kept) => kept.id,
        }
    }

    /// The first file that is not what was captured, if that can be told.
    pub(super) fn find_changed(&self, sent: ChunkIdSet) -> Option<ChangedSince> {
        match self {
            Self::Captured(capture) => capture.find_changed(sent),
            Self::Kept(kept) => kept.find_changed(sent),
        }
    }

    /// The content of these chunks.
    pub(super) fn chunks(&self, wanted: ChunkIdSet) -> Chunks<'_> {
        match self {
            Self::Captured(capture) => Chunks::Captured(capture.chunks(wanted)),
            Self::Kept(kept) => Chunks::Kept(kept.chunks(wanted)),
        }
    }
}

impl Chunks<'_> {
    /// The next chunk with its content; `None` at the end.
    pub(super) fn next_chunk(&mut self) -> Result<Option<(ChunkId, &[u8])>, ChangedSince> {
        match self {
            Self::Captured(chunks) => chunks.next_chunk(),
            Self::Kept(chunks) => chunks.next_chunk(),
        }
    }
}
