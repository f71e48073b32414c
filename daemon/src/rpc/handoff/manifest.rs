//! The manifest on its way in, whole or as a delta to one that the user has here.

use std::sync::Arc;

use bytes::Bytes;
use handoff_proto::{
    chunk::{Chunk, ChunkId, ChunkRef},
    frames::unpack_manifest,
    manifest::{ManifestError, SnapshotId, apply_delta, changed_chunks},
    wire::Frame,
};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::offer::Accepted;
use crate::{
    rpc::status::failed,
    runs::Registry,
    store::{BlobError, UserName},
    workspace::Snapshot,
};

/// A compressed manifest is hardly ever larger than the plain one.
const PACKED_SLACK_BYTES: u64 = 64 << 10;

/// The manifest that a delta is about: that of a run, so that its chunks are all there.
pub(super) struct Base {
    encoded: Bytes,
    delta_bytes: u64,
}

impl Base {
    /// Looks for the base that an offer names; none where there is none, or not any more.
    pub(super) async fn find(
        registry: &Registry,
        user: &UserName,
        accepted: &Accepted,
    ) -> Result<Option<Self>, Status> {
        let Some((id, delta_bytes)) = accepted.delta else { return Ok(None) };
        // Only a run keeps all chunks of its snapshot; other content may just look like one.
        if !registry.has_snapshot(user, &id) {
            return Ok(None);
        }
        if let Some(recent) = registry.snapshots().recent(user, id) {
            return Ok(Some(Self { encoded: recent.encoded.clone(), delta_bytes }));
        }
        let id = ChunkId::from_bytes(*id.as_bytes());
        match registry.store().blobs.get(user, &id).await {
            Ok(encoded) => Ok(Some(Self { encoded, delta_bytes })),
            Err(BlobError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A manifest of which some frames have come.
pub(super) struct Arriving {
    id: SnapshotId,
    manifest_bytes: u64,
    base: Option<Base>,
    packed: Vec<u8>,
}

/// A manifest that is what the offer announced.
pub(super) struct Arrived {
    pub(super) id: SnapshotId,
    /// Its encoding, as it is stored.
    pub(super) chunk: Chunk<Bytes>,
    /// The chunks that the user may lack; perhaps some more than once.
    pub(super) candidates: Vec<ChunkRef>,
    pub(super) decoded: Decoded,
}

/// A manifest that keeps every rule, or will turn out not to.
pub(super) enum Decoded {
    Now(Arc<Snapshot>),
    Soon(JoinHandle<Result<Snapshot, ManifestError>>),
}

impl Decoded {
    /// What the manifest says.
    pub(super) async fn wait(self) -> Result<Arc<Snapshot>, Status> {
        match self {
            Self::Now(snapshot) => Ok(snapshot),
            Self::Soon(decoding) => {
                let decoded = decoding.await.map_err(|_panicked| not_checked())?;
                Ok(Arc::new(decoded.map_err(failed)?))
            }
        }
    }
}

pub(super) fn not_checked() -> Status {
    Status::internal("manifest could not be checked")
}

impl Arriving {
    pub(super) const fn new(accepted: &Accepted, base: Option<Base>) -> Self {
        let (id, manifest_bytes) = (accepted.snapshot, accepted.manifest_bytes);
        Self { id, manifest_bytes, base, packed: Vec::new() }
    }

    /// The plain size of what comes.
    fn announced(&self) -> u64 {
        self.base.as_ref().map_or(self.manifest_bytes, |base| base.delta_bytes)
    }

    pub(super) fn push(&mut self, frame: &Frame) -> Result<(), Status> {
        let size = self.packed.len() as u64;
        if frame.offset != size {
            return Err(Status::invalid_argument("manifest has a gap"));
        }
        let max = self.announced().saturating_add(PACKED_SLACK_BYTES);
        if size + frame.data.len() as u64 > max {
            return Err(Status::invalid_argument("manifest is larger than announced"));
        }
        self.packed.extend_from_slice(&frame.data);
        Ok(())
    }

    /// Unpacks it and begins to check it. Blocks: a large tree takes a tenth of a second.
    ///
    /// Of one that came as a delta, the chunks that may be lacking are known before it is decoded.
    pub(super) fn finish(self, tracker: &TaskTracker) -> Result<Arrived, Status> {
        let unpacked = unpack_manifest(&*self.packed, self.announced()).map_err(failed)?;
        let encoded = match &self.base {
            None => unpacked,
            Some(base) => apply_delta(&base.encoded, &unpacked, self.manifest_bytes)
                .map_err(|error| Status::invalid_argument(error.to_string()))?,
        };
        let chunk = Chunk::verify(ChunkId::from_bytes(*self.id.as_bytes()), Bytes::from(encoded))
            .ok_or_else(|| Status::invalid_argument("manifest is not the announced one"))?;
        let encoded = chunk.as_owned().clone();
        let (candidates, decoded) = match &self.base {
            None => {
                let snapshot = Snapshot::decode(encoded).map_err(failed)?;
                (snapshot.manifest.chunks().collect(), Decoded::Now(Arc::new(snapshot)))
            }
            Some(base) => {
                let decoding = tracker.spawn_blocking(move || Snapshot::decode(encoded));
                let changed = changed_chunks(&base.encoded, chunk.content()).map_err(failed)?;
                (changed, Decoded::Soon(decoding))
            }
        };
        Ok(Arrived { id: self.id, chunk, candidates, decoded })
    }
}
