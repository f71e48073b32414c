//! A bundle on its way in: frames from the network to verified blobs, on a thread that may block.
//!
//! Never trusts a byte: the bundle reader accepts only the chunks that were asked for, each of the
//! size that the manifest says and the hash that it is named by.

use std::{io, mem, sync::Arc, thread};

use bytes::Bytes;
use handoff_proto::{
    bundle,
    chunk::{Chunk, ChunkRef},
    frames::FrameReader,
    wire::Frame,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tonic::Status;

use crate::{
    rpc::status::failed,
    runs::Registry,
    store::{BlobError, BlobStore, BlobWriter, UserName},
};

/// Frames between the network and the disk: 4 MiB.
const FRAMES_AHEAD: usize = 8;

/// What is verified is made durable each time that this much has come: if the machine goes down,
/// at most twice as much has to be sent again.
const COMMIT_BYTES: u64 = 16 << 20;

/// A bundle on its way in.
pub(super) struct Upload {
    frames: Option<mpsc::Sender<Frame>>,
    acknowledged: watch::Receiver<u64>,
    /// None once its end was told.
    worker: Option<JoinHandle<Result<(), Status>>>,
}

impl Upload {
    /// Starts the receiving thread, which accepts exactly `lacking`; what is stored with the last of
    /// it waits for its approval.
    pub(super) fn start(
        registry: &Registry,
        user: &UserName,
        lacking: Vec<ChunkRef>,
        last: Last,
    ) -> Self {
        let user = user.clone();
        let (frames, receiver) = mpsc::channel(FRAMES_AHEAD);
        let (acknowledge, acknowledged) = watch::channel(0);
        let blobs = Arc::clone(&registry.store().blobs);
        let worker = registry.tracker().spawn_blocking(move || {
            Receiving { blobs, user, acknowledge }.run(receiver, lacking, last)
        });
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

/// What is never there without everything else: a manifest, once it is known to keep every rule.
pub(super) struct Last {
    pub(super) manifest: Chunk<Bytes>,
    /// Whether that is still being found out.
    pub(super) is_early: bool,
    /// Without it the manifest is not stored.
    pub(super) approved: oneshot::Receiver<()>,
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
        expected: Vec<ChunkRef>,
        last: Last,
    ) -> Result<(), Status> {
        let mut store = Storing::new(&self);
        // Whoever has nothing to send may leave even the empty bundle out.
        let mut first = frames.blocking_recv();
        if first.is_some() || !expected.is_empty() {
            let next = || Ok(first.take().or_else(|| frames.blocking_recv()));
            if let Err(status) = receive(FrameReader::new(next), expected, &mut store) {
                // What was verified so far stays for the retry; why reading ended is what counts.
                if let Err(error) = store.finish() {
                    tracing::warn!(%error, "a part of a broken upload is lost");
                }
                return Err(status);
            }
        }
        if !last.is_early {
            if last.approved.blocking_recv().is_ok() {
                store.put(last.manifest.as_ref())?;
            }
            return Ok(store.finish()?);
        }
        store.finish()?;
        let mut manifest = self.blobs.writer(&self.user);
        manifest.put_verified(last.manifest.as_ref())?;
        // While it is still looked at.
        manifest.write_ahead()?;
        match last.approved.blocking_recv() {
            Ok(()) => Ok(manifest.commit()?),
            Err(_refused) => Ok(()),
        }
    }
}

/// Reads a bundle that must hold every chunk that is expected.
fn receive(
    frames: impl io::BufRead,
    expected: Vec<ChunkRef>,
    store: &mut Storing<'_>,
) -> Result<(), Status> {
    let total = expected.iter().map(|chunk| u64::from(chunk.size)).sum();
    let limits = bundle::BundleLimits::new(0, total);
    let mut bundle = bundle::Reader::new(frames, limits);
    bundle.expect(expected).map_err(failed)?;
    while let Some(item) = bundle.next_item().map_err(failed)? {
        let bundle::Item::Chunk(chunk) = item else {
            return Err(Status::invalid_argument("bundle holds a manifest"));
        };
        store.put(chunk.as_ref())?;
        store.commit_if_due()?;
    }
    match bundle.missing().next() {
        None => Ok(()),
        Some(id) => Err(BlobError::Missing { id }.into()),
    }
}

/// Blobs on their way to the disk: while one part is made durable, the next is received.
struct Storing<'a> {
    receiving: &'a Receiving,
    writer: Box<dyn BlobWriter>,
    /// Bytes in the writer.
    uncommitted: u64,
    /// The part before, and its bytes.
    committing: Option<(thread::JoinHandle<Result<(), BlobError>>, u64)>,
}

impl<'a> Storing<'a> {
    fn new(receiving: &'a Receiving) -> Self {
        let writer = receiving.blobs.writer(&receiving.user);
        Self { receiving, writer, uncommitted: 0, committing: None }
    }

    fn put(&mut self, chunk: Chunk<&[u8]>) -> Result<(), BlobError> {
        self.uncommitted += chunk.content().len() as u64;
        self.writer.put_verified(chunk)?;
        Ok(())
    }

    fn commit_if_due(&mut self) -> Result<(), BlobError> {
        if self.uncommitted < COMMIT_BYTES {
            return Ok(());
        }
        self.await_commit()?;
        let next = self.receiving.blobs.writer(&self.receiving.user);
        let full = mem::replace(&mut self.writer, next);
        let bytes = mem::take(&mut self.uncommitted);
        self.committing = Some((thread::spawn(move || full.commit()), bytes));
        Ok(())
    }

    fn await_commit(&mut self) -> Result<(), BlobError> {
        let Some((thread, bytes)) = self.committing.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        self.receiving.acknowledge.send_modify(|durable| *durable += bytes);
        Ok(())
    }

    /// Makes the rest durable, unless an earlier part is lost.
    fn finish(mut self) -> Result<(), BlobError> {
        self.await_commit()?;
        self.writer.commit()
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::chunk::ChunkId;

    use super::*;
    use crate::store::embedded::Embedded;

    /// What becomes of a manifest of which everything else is there.
    fn stores(is_early: bool, approve: impl FnOnce(oneshot::Sender<()>)) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Embedded::open(directory.path()).unwrap().interfaces().blobs;
        let user = UserName::parse("ada").unwrap();
        let content = Bytes::from_static(b"a manifest");
        let id = ChunkId::of(&content);
        let manifest = Chunk::verify(id, content).unwrap();
        let (sender, approved) = oneshot::channel();
        let (frames, receiver) = mpsc::channel(1);
        let (acknowledge, _acknowledged) = watch::channel(0);
        let receiving = Receiving { blobs: Arc::clone(&blobs), user: user.clone(), acknowledge };
        let last = Last { manifest, is_early, approved };
        let worker = thread::spawn(move || receiving.run(receiver, Vec::new(), last));
        drop(frames);
        approve(sender);
        worker.join().unwrap().unwrap();
        blobs.read_blocking(&user, &id).is_ok()
    }

    #[test]
    fn only_an_approved_manifest_is_stored() {
        for is_early in [false, true] {
            assert!(stores(is_early, |approve| approve.send(()).unwrap()), "{is_early}");
            assert!(!stores(is_early, drop), "{is_early}");
        }
    }
}
