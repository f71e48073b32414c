//! A bundle on its way in: frames from the network to verified blobs, on a thread that may block.
//!
//! Never trusts a byte: the bundle reader accepts only the chunks that were asked for, each of the
//! size that the manifest says and the hash that it is named by.

use std::{collections::HashSet, io, sync::Arc};

use handoff_proto::{
    bundle,
    chunk::{ChunkId, ChunkRef},
    frames::FrameReader,
    manifest::SnapshotManifest,
    wire::Frame,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tonic::Status;

use crate::{
    rpc::status::failed,
    runs::Registry,
    store::{BlobStore, UserName},
};

/// Frames between the network and the disk: 4 MiB.
const FRAMES_AHEAD: usize = 8;

/// What is verified is made durable each time that this much has come: losing the connection costs
/// at most as much again.
const COMMIT_BYTES: u64 = 32 << 20;

/// A bundle on its way in.
pub(super) struct Upload {
    frames: Option<mpsc::Sender<Frame>>,
    acknowledged: watch::Receiver<u64>,
    /// None once its end was told.
    worker: Option<JoinHandle<Result<(), Status>>>,
}

impl Upload {
    /// Starts the receiving thread, which accepts exactly `lacking`.
    pub(super) fn start(
        registry: &Registry,
        user: UserName,
        snapshot: &SnapshotManifest,
        lacking: &[ChunkId],
    ) -> Self {
        let lacking: HashSet<ChunkId> = lacking.iter().copied().collect();
        let expected = snapshot.chunks().filter(|chunk| lacking.contains(&chunk.id)).collect();
        let (frames, receiver) = mpsc::channel(FRAMES_AHEAD);
        let (acknowledge, acknowledged) = watch::channel(0);
        let blobs = Arc::clone(&registry.store().blobs);
        let worker = registry
            .tracker()
            .spawn_blocking(move || Receiving { blobs, user, acknowledge }.run(receiver, expected));
        Self { frames: Some(frames), acknowledged, worker: Some(worker) }
    }

    /// Waits for progress; returns how many bytes of chunks are durable.
    pub(super) async fn acknowledged(&mut self) -> u64 {
        if self.acknowledged.changed().await.is_err() {
            // The worker has ended; its result is told by `finish`.
            std::future::pending::<()>().await;
        }
        *self.acknowledged.borrow_and_update()
    }

    /// Hands a frame on, waiting for the disk.
    pub(super) async fn push(&mut self, frame: Frame) -> Result<(), Status> {
        let gone = match &self.frames {
            Some(frames) => frames.send(frame).await.is_err(),
            None => true,
        };
        if !gone {
            return Ok(());
        }
        self.ended().await?;
        Err(Status::invalid_argument("bundle goes on after its end"))
    }

    /// Says that no frame comes any more.
    pub(super) fn end(&mut self) {
        self.frames = None;
    }

    /// Waits until everything received is durable.
    pub(super) async fn finish(mut self) -> Result<(), Status> {
        self.ended().await
    }

    async fn ended(&mut self) -> Result<(), Status> {
        self.frames = None;
        match self.worker.take() {
            None => Ok(()),
            Some(worker) => {
                worker.await.map_err(|_panicked| Status::internal("bundle could not be stored"))?
            }
        }
    }
}

struct Receiving {
    blobs: Arc<dyn BlobStore>,
    user: UserName,
    acknowledge: watch::Sender<u64>,
}

impl Receiving {
    fn run(
        self,
        mut frames: mpsc::Receiver<Frame>,
        expected: HashSet<ChunkRef>,
    ) -> Result<(), Status> {
        // Whoever has nothing to send may leave even the empty bundle out.
        let mut first = frames.blocking_recv();
        if first.is_none() && expected.is_empty() {
            return Ok(());
        }
        let next = || Ok(first.take().or_else(|| frames.blocking_recv()));
        self.store(FrameReader::new(next), expected)
    }

    fn store(&self, frames: impl io::Read, expected: HashSet<ChunkRef>) -> Result<(), Status> {
        let total = expected.iter().map(|chunk| u64::from(chunk.size)).sum();
        let limits = bundle::BundleLimits::new(0, total);
        let mut bundle = bundle::Reader::new(frames, limits).map_err(failed)?;
        bundle.expect(expected).map_err(failed)?;
        let mut writer = self.blobs.writer(&self.user);
        let mut uncommitted = 0;
        let read = loop {
            match bundle.next_item() {
                Ok(None) => break Ok(()),
                Err(error) => break Err(failed(error)),
                Ok(Some(bundle::Item::Manifest(_))) => {
                    break Err(Status::invalid_argument("bundle holds a manifest"));
                }
                Ok(Some(bundle::Item::Chunk { id, content })) => {
                    if let Err(error) = writer.put(&id, &content) {
                        break Err(Status::from(error));
                    }
                    uncommitted += content.len() as u64;
                    if uncommitted >= COMMIT_BYTES {
                        let full = std::mem::replace(&mut writer, self.blobs.writer(&self.user));
                        full.commit()?;
                        self.acknowledge.send_modify(|durable| *durable += uncommitted);
                        uncommitted = 0;
                    }
                }
            }
        };
        writer.commit()?;
        read
    }
}
