//! Stored content on its way out: which chunks are lacking, manifests, thin bundles.
//!
//! Every answer is scoped by the caller; chunks are given only to whoever owns a run whose
//! snapshot or result holds them.

use std::{
    collections::HashSet,
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use handoff_proto::{
    bundle,
    chunk::ChunkId,
    frames,
    manifest::{Limits, ResultManifest, SnapshotId},
    wire,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Status, Streaming};

use super::{identity::Caller, runs::Replies, status::failed};
use crate::{
    runs::{Live, Registry},
    workspace::Snapshot,
};

/// Frames made ahead of a slow reader.
const FRAMES_AHEAD: usize = 4;

/// Ids in one message: 512 KiB of them.
const IDS_PER_MESSAGE: usize = wire::FRAME_BYTES_MAX / 32;

/// Most ids that one call may name: chunks of a tree of some terabytes.
const IDS_MAX: usize = 8_000_000;

/// Compression of bundles on their way out: the zstd level at which the network, not the
/// processor, is usually the limit.
const LEVEL: i32 = 1;

/// Reads concatenated ids.
pub(super) fn ids(bytes: &[u8]) -> Result<Vec<ChunkId>, Status> {
    let (whole, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() {
        Ok(whole.iter().map(|id| ChunkId::from_bytes(*id)).collect())
    } else {
        Err(Status::invalid_argument("chunk ids are 32 bytes each"))
    }
}

/// Concatenates ids into messages of bounded size.
pub(super) fn id_messages(ids: &[ChunkId]) -> Vec<Vec<u8>> {
    ids.chunks(IDS_PER_MESSAGE).map(concatenated).collect()
}

fn concatenated(ids: &[ChunkId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// Answers each message of ids with those that the caller's content lacks.
pub(super) fn lacks(
    registry: &Registry,
    caller: Caller,
    requests: Streaming<wire::ChunkIds>,
) -> Replies<wire::ChunkIds> {
    let blobs = Arc::clone(&registry.store().blobs);
    Box::pin(requests.then(move |request| {
        let (blobs, user) = (Arc::clone(&blobs), caller.user.clone());
        async move {
            let lacking = blobs.lacks(&user, &ids(&request?.ids)?).await?;
            Ok(wire::ChunkIds { ids: concatenated(&lacking) })
        }
    }))
}

/// A run's snapshot or result manifest.
pub(super) async fn manifest(
    registry: &Registry,
    caller: &Caller,
    live: &Live,
    which: wire::manifest_request::Which,
) -> Result<Replies<wire::ManifestFrame>, Status> {
    let id = match which {
        wire::manifest_request::Which::Snapshot => live.with(snapshot_id),
        wire::manifest_request::Which::Result => {
            live.with(result_id).ok_or_else(|| no_result(live))?
        }
    };
    let plain = registry.store().blobs.get(&caller.user, &id).await?;
    let manifest_bytes = plain.len() as u64;
    let packed = frames::pack_manifest(&plain);
    let replies = frames::frames(Bytes::from(packed))
        .map(move |frame| Ok(wire::ManifestFrame { manifest_bytes, frame: Some(frame) }));
    Ok(Box::pin(tokio_stream::iter(replies)))
}

/// Collects the ids that a client wants, in its order.
pub(super) async fn wanted(
    first: Vec<u8>,
    mut more: Streaming<wire::ChunksRequest>,
) -> Result<Vec<ChunkId>, Status> {
    let mut wanted = ids(&first)?;
    while let Some(request) = more.message().await? {
        wanted.extend(ids(&request.ids)?);
        if wanted.len() > IDS_MAX {
            return Err(Status::resource_exhausted(format!(
                "more than {IDS_MAX} chunks in a call"
            )));
        }
    }
    Ok(wanted)
}

/// The wanted chunks as a thin bundle.
pub(super) async fn chunks(
    registry: &Registry,
    caller: &Caller,
    live: &Live,
    wanted: Vec<ChunkId>,
) -> Result<Replies<wire::Frame>, Status> {
    let wanted = held(registry, caller, live, wanted).await?;
    let (sender, receiver) = mpsc::channel(FRAMES_AHEAD);
    let (blobs, user) = (Arc::clone(&registry.store().blobs), caller.user.clone());
    let place = Arc::clone(&caller.place);
    registry.tracker().spawn_blocking(move || {
        let _place = place;
        let out = FrameWriter { sender: sender.clone(), buffer: Vec::new(), offset: 0 };
        let written = (|| -> Result<(), Status> {
            let mut bundle =
                bundle::Writer::for_link(out, bundle::Effort::Level(LEVEL)).map_err(failed)?;
            for id in &wanted {
                let bytes = blobs.read_blocking(&user, id)?;
                bundle.chunk(id, &bytes).map_err(failed)?;
            }
            bundle
                .finish()
                .map_err(failed)?
                .flush()
                .map_err(|_gone| Status::cancelled("client is gone"))
        })();
        if let Err(status) = written {
            // The receiver is gone when the client is: nobody is left to tell.
            drop(sender.blocking_send(Err(status)));
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// The wanted chunks, each once, if all of them are the run's: in its result, where a client looks
/// first, or in its snapshot.
async fn held(
    registry: &Registry,
    caller: &Caller,
    live: &Live,
    wanted: Vec<ChunkId>,
) -> Result<Vec<ChunkId>, Status> {
    let (result, snapshot) = live.with(|run| (result_id(run), run.snapshot));
    let (registry, caller) = (registry.clone(), caller.clone());
    let checked = registry.clone().tracker().spawn_blocking(move || {
        // Keeps its place to the end, also when the client gives the call up.
        let user = &caller.user;
        let blobs = &registry.store().blobs;
        let mut foreign: HashSet<ChunkId> = wanted.iter().copied().collect();
        if let Some(id) = result {
            let result = blobs.read_blocking(user, &id)?;
            let result = ResultManifest::decode(&result, &Limits::DEFAULT).map_err(failed)?;
            result.chunks().for_each(|chunk| _ = foreign.remove(&chunk.id));
        }
        if !foreign.is_empty() {
            let recent = registry.snapshots().recent(user, snapshot);
            let snapshot = match recent {
                Some(recent) => recent,
                None => {
                    let encoded = blobs.read_blocking(user, &blob_of(&snapshot))?;
                    Arc::new(Snapshot::decode(encoded).map_err(failed)?)
                }
            };
            snapshot.manifest.chunks().for_each(|chunk| _ = foreign.remove(&chunk.id));
        }
        if let Some(id) = foreign.iter().next() {
            return Err(Status::not_found(format!("chunk {id} is not this run's")));
        }
        let mut once = HashSet::new();
        Ok(wanted.into_iter().filter(|id| once.insert(*id)).collect())
    });
    checked.await.map_err(|_| Status::internal("looking for the chunks was interrupted"))?
}

fn snapshot_id(run: &handoff_proto::run::Run) -> ChunkId {
    blob_of(&run.snapshot)
}

fn blob_of(snapshot: &SnapshotId) -> ChunkId {
    ChunkId::from_bytes(*snapshot.as_bytes())
}

fn result_id(run: &handoff_proto::run::Run) -> Option<ChunkId> {
    let result = run.harvest.as_ref()?.result?;
    Some(ChunkId::from_bytes(*result.as_bytes()))
}

fn no_result(live: &Live) -> Status {
    Status::not_found(live.with(|run| format!("run {} has no result", run.name)))
}

/// Turns written bytes into frames, waiting for a slow reader.
struct FrameWriter {
    sender: mpsc::Sender<Result<wire::Frame, Status>>,
    buffer: Vec<u8>,
    offset: u64,
}

impl Write for FrameWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = wire::FRAME_BYTES_MAX - self.buffer.len();
        let count = room.min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == wire::FRAME_BYTES_MAX {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let data = Bytes::from(std::mem::take(&mut self.buffer));
        let frame = wire::Frame { offset: self.offset, data };
        self.offset += frame.data.len() as u64;
        self.sender.blocking_send(Ok(frame)).map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }
}
