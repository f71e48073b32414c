//! One attempt at the `Handoff` call.

use std::sync::Arc;

use bytes::Bytes;
use handoff_proto::chunk::{ChunkId, ChunkIdSet};
use handoff_proto::frames::{frames, pack_manifest};
use handoff_proto::manifest::SnapshotManifest;
use handoff_proto::problem::Code;
use handoff_proto::run::RunId;
use handoff_proto::wire::handoff_reply::Part as Reply;
use handoff_proto::wire::handoff_request::Part;
use handoff_proto::wire::{self, Empty, HandoffRequest};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::bundle::{self, SendError};
use super::flight::Flight;
use super::{Delta, Offer, Parcel, Receipt, TransferError};
use crate::output::Progress;
use crate::remote::{self, Remote};

/// Messages made ahead of the connection; how much is on its way is the flight's to say.
const REQUESTS_AHEAD: usize = 4;

/// Bytes of a chunk id.
const ID_BYTES: usize = 32;

/// What became of an attempt.
pub(super) struct Attempt {
    pub(super) outcome: Result<Receipt, TransferError>,
    /// Whether the daemon now has something that it did not have before.
    pub(super) got_further: bool,
    /// How many bytes of content the daemon lacked when it was asked; none if it was not.
    pub(super) lacking_bytes: Option<u64>,
}

/// Tries once.
pub(super) async fn attempt(
    remote: &Remote,
    offer: &Offer,
    parcel: &Parcel,
    delta: Option<&Delta>,
    progress: &Arc<Progress>,
) -> Attempt {
    let mut call = Call {
        remote,
        delta,
        parcel: parcel.clone(),
        progress: Arc::clone(progress),
        needed: ChunkIdSet::default(),
        sent: None,
        flight: Arc::default(),
        sending: None,
        got_further: false,
        lacking_bytes: None,
    };
    let mut outcome = call.run(offer).await;
    call.flight.close();
    if let Some(sending) = call.sending.take() {
        // Its channel is closed by now, so that it ends. A tree that changed is why all else failed.
        if let Ok(Err(SendError::Changed(changed))) = sending.await {
            outcome = Err(TransferError::Changed(changed));
        }
    }
    if let Err(TransferError::Remote { source, .. }) = &outcome
        && source.problem_code() == Some(Code::Refused)
        && let Some(sent) = call.sent.take()
    {
        // Content that is not what its hash says would have been refused.
        let parcel = parcel.clone();
        let changed = tokio::task::spawn_blocking(move || parcel.find_changed(sent)).await;
        if let Ok(Some(changed)) = changed {
            outcome = Err(TransferError::Changed(changed));
        }
    }
    Attempt { outcome, got_further: call.got_further, lacking_bytes: call.lacking_bytes }
}

struct Call<'a> {
    remote: &'a Remote,
    parcel: Parcel,
    delta: Option<&'a Delta>,
    progress: Arc<Progress>,
    needed: ChunkIdSet,
    /// What was needed, once it is being sent.
    sent: Option<ChunkIdSet>,
    flight: Arc<Flight>,
    sending: Option<JoinHandle<Result<(), SendError>>>,
    got_further: bool,
    lacking_bytes: Option<u64>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // Also where the call is given up in the middle: the sender must not wait for ever.
        self.flight.close();
    }
}

impl Call<'_> {
    async fn run(&mut self, offer: &Offer) -> Result<Receipt, TransferError> {
        let (requests, receiver) = mpsc::channel(REQUESTS_AHEAD);
        // There is room for it.
        drop(requests.try_send(request(Part::Offer(self.offer(offer)))));
        let replies = self.remote.runs().handoff(ReceiverStream::new(receiver)).await;
        let mut replies = replies.map_err(|status| self.failed(status))?.into_inner();
        let mut requests = Some(requests);
        loop {
            match self.next(&mut replies).await? {
                Reply::Accepted(accepted) => {
                    self.send_manifest(requests.as_ref(), accepted.base_known).await;
                }
                Reply::Needs(needs) => {
                    self.add_needed(&needs.ids)?;
                    if needs.needs_end {
                        self.send_bundle(requests.take());
                    }
                }
                Reply::Acknowledged(bytes) => self.got_further |= bytes > 0,
                Reply::Received(bytes) => self.flight.landed(bytes),
                Reply::Receipt(receipt) => return self.check(receipt),
            }
        }
    }

    /// The next reply, unless sending fails first.
    async fn next(
        &mut self,
        replies: &mut Streaming<wire::HandoffReply>,
    ) -> Result<Reply, TransferError> {
        loop {
            let message = match &mut self.sending {
                None => replies.message().await,
                Some(sending) => tokio::select! {
                    message = replies.message() => message,
                    sent = sending => {
                        self.sending = None;
                        match sent {
                            Ok(Err(SendError::Changed(changed))) => {
                                return Err(TransferError::Changed(changed));
                            }
                            // Why nobody takes frames any more, the replies say.
                            Ok(Ok(()) | Err(SendError::Closed)) | Err(_) => continue,
                        }
                    }
                },
            };
            return match message.map_err(|status| self.failed(status))? {
                Some(wire::HandoffReply { part: Some(part) }) => Ok(part),
                Some(wire::HandoffReply { part: None }) => Err(self.protocol("an empty reply")),
                None => Err(self.protocol("no receipt")),
            };
        }
    }

    fn offer(&self, offer: &Offer) -> wire::Offer {
        let (manifest, encoded) = (self.parcel.manifest(), self.parcel.encoded());
        wire::Offer {
            idempotency_key: offer.key.to_vec(),
            name: offer.name.clone(),
            snapshot: self.parcel.id().as_bytes().to_vec(),
            manifest_bytes: encoded.len() as u64,
            content_bytes: manifest.content_bytes(),
            entries: manifest.entries.len() as u64,
            contract: Some(offer.contract.clone()),
            manifest_base: self
                .delta
                .map(|delta| delta.base.as_bytes().to_vec())
                .unwrap_or_default(),
            delta_bytes: self.delta.map_or(0, |delta| delta.steps.len() as u64),
        }
    }

    /// Sends the manifest, or what of it changed; if nobody takes it any more, the replies say why.
    async fn send_manifest(
        &self,
        requests: Option<&mpsc::Sender<HandoffRequest>>,
        base_known: bool,
    ) {
        let Some(requests) = requests else { return };
        let packed = match self.delta {
            Some(delta) if base_known => pack_manifest(&delta.steps),
            Some(_) | None => pack_manifest(self.parcel.encoded()),
        };
        let packed = Bytes::from(packed);
        for frame in frames(packed) {
            if requests.send(request(Part::Manifest(frame))).await.is_err() {
                return;
            }
        }
        drop(requests.send(request(Part::ManifestEnd(Empty {}))).await);
    }

    fn add_needed(&mut self, ids: &[u8]) -> Result<(), TransferError> {
        let (ids, rest) = ids.as_chunks::<ID_BYTES>();
        if !rest.is_empty() {
            return Err(self.protocol("half a chunk id"));
        }
        self.needed.extend(ids.iter().map(|id| ChunkId::from_bytes(*id)));
        Ok(())
    }

    fn send_bundle(&mut self, requests: Option<mpsc::Sender<HandoffRequest>>) {
        let Some(requests) = requests else { return };
        let needed = std::mem::take(&mut self.needed);
        let lacking = bytes_of(self.parcel.manifest(), &needed);
        self.lacking_bytes = Some(lacking);
        self.sent = Some(needed.clone());
        self.progress.set_total(lacking);
        let (parcel, progress) = (self.parcel.clone(), Arc::clone(&self.progress));
        let flight = Arc::clone(&self.flight);
        let send = move || bundle::send(&parcel, needed, requests, &flight, &progress);
        self.sending = Some(tokio::task::spawn_blocking(send));
    }

    fn check(&self, receipt: wire::Receipt) -> Result<Receipt, TransferError> {
        let manifest = self.parcel.manifest();
        let content = manifest.content_bytes();
        let differs = |what: &str| TransferError::Receipt {
            remote: self.remote.name().to_owned(),
            what: what.to_owned(),
        };
        if receipt.snapshot != self.parcel.id().as_bytes() {
            return Err(differs("it names another snapshot"));
        }
        if receipt.entries != manifest.entries.len() as u64 || receipt.content_bytes != content {
            return Err(differs("it counts other files"));
        }
        let id = RunId::parse(&receipt.run_id).map_err(|_| differs("it names no run"))?;
        let run = receipt.run.filter(|run| run.id == id.as_str() && receipt.seq > 0);
        Ok(Receipt {
            id,
            run: run.ok_or_else(|| differs("it has no run"))?,
            cursor: receipt.cursor,
            bundle_bytes: receipt.bundle_bytes_received,
        })
    }

    fn failed(&self, status: tonic::Status) -> TransferError {
        self.remote_error(self.remote.error(status))
    }

    fn protocol(&self, what: &str) -> TransferError {
        let (remote, what) = (self.remote.name().to_owned(), what.to_owned());
        self.remote_error(remote::Error::Protocol { remote, what })
    }

    fn remote_error(&self, source: remote::Error) -> TransferError {
        TransferError::Remote { remote: self.remote.name().to_owned(), source: Box::new(source) }
    }
}

fn request(part: Part) -> HandoffRequest {
    HandoffRequest { part: Some(part) }
}

/// The plain size of chunks, each counted once.
fn bytes_of(manifest: &SnapshotManifest, chunks: &ChunkIdSet) -> u64 {
    let mut counted = ChunkIdSet::default();
    let sizes = manifest.chunks().filter(|chunk| chunks.contains(&chunk.id));
    let each = sizes.filter(|chunk| counted.insert(chunk.id)).take(chunks.len());
    each.map(|chunk| u64::from(chunk.size)).sum()
}
