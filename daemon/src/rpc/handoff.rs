//! The `Handoff` call: offer → manifest → what is lacking → thin bundle → receipt.
//!
//! Nothing is started before everything is durable: the chunks and the manifest first, then the
//! run's first event. What was verified before a connection broke stays, so that a retry with the
//! same key sends the rest only, and never makes a second run.

mod calls;
mod manifest;
mod offer;
mod upload;

use std::{collections::HashSet, sync::Arc, time::Duration};

use handoff_proto::{
    chunk::{ChunkId, ChunkRef},
    manifest::{Limits, SnapshotManifest},
    wire::{self, handoff_reply, handoff_request::Part},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

pub(super) use self::calls::Calls;
use self::{
    manifest::{Arrived, Arriving, Base, Decoded, not_checked},
    offer::Accepted,
    upload::{Last, Upload},
};
use super::{content::id_messages, identity::Caller, runs::Replies, status::failed};
use crate::{
    runs::{Live, NewRun, Registry},
    store::{BlobError, Rev},
    workspace::Snapshot,
};

/// Replies made ahead of a slow client.
const REPLIES_AHEAD: usize = 4;

/// A client that says nothing for this long is gone. Longer than a laptop needs to hash a large
/// file between two messages.
const IDLE: Duration = Duration::from_secs(120);

/// So little content is asked for while the manifest is still being checked: on most links both take
/// about as long.
const EARLY_BYTES_MAX: u64 = 1 << 20;

/// Serves one call.
pub(super) fn serve(
    registry: Registry,
    calls: Calls,
    caller: Caller,
    requests: Streaming<wire::HandoffRequest>,
) -> Replies<wire::HandoffReply> {
    let (sender, receiver) = mpsc::channel(REPLIES_AHEAD);
    let tracker = registry.tracker().clone();
    let stopping = registry.stopping().clone();
    tracker.spawn(async move {
        let superseded = CancellationToken::new();
        let replies = sender.clone();
        let mut session = Session { registry, caller, requests, replies, superseded };
        let served = tokio::select! {
            () = stopping.cancelled() => Err(Status::unavailable("daemon is stopping")),
            served = session.serve(&calls) => served,
        };
        if let Err(status) = served {
            // The receiver is gone when the client is: nobody is left to tell.
            drop(sender.send(Err(status)).await);
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

/// What keeps an offer from being taken, as far as that can be told without its manifest.
pub(super) async fn check(
    registry: &Registry,
    caller: &Caller,
    offer: wire::Offer,
) -> Result<(), Status> {
    let accepted = offer::check(registry, &caller.user, offer)?;
    Ok(registry.check_agent_version(&accepted.contract).await?)
}

struct Session {
    registry: Registry,
    caller: Caller,
    requests: Streaming<wire::HandoffRequest>,
    replies: mpsc::Sender<Result<wire::HandoffReply, Status>>,
    /// Cancelled when the client has called again.
    superseded: CancellationToken,
}

impl Session {
    async fn serve(&mut self, calls: &Calls) -> Result<(), Status> {
        let Part::Offer(offer) = self.next("an offer").await? else {
            return Err(out_of_order("an offer"));
        };
        let turn = calls.take_over(&self.caller.user, &offer.idempotency_key).await;
        self.superseded = turn.superseded().clone();
        let cursor = self.registry.store().log.head().await?;
        if let Some(live) = self.registry.with_key(&self.caller.user, &offer.idempotency_key) {
            return self.receipt_again(&offer, &live).await;
        }
        let accepted = offer::check(&self.registry, &self.caller.user, offer)?;
        self.registry.check_agent_version(&accepted.contract).await?;
        // What is there now is there until the run exists that needs it.
        let _storing = self.registry.storing().await;
        let base = Base::find(&self.registry, &self.caller.user, &accepted).await?;
        let base_known = base.is_some();
        self.reply(handoff_reply::Part::Accepted(wire::Accepted { base_known })).await?;
        let arrived = self.receive_manifest(&accepted, base).await?;
        let id = arrived.id;
        let (snapshot, bundle_bytes) = self.receive_content(&accepted, arrived).await?;
        // The run wants it in a moment.
        self.registry.snapshots().keep(&self.caller.user, id, Arc::clone(&snapshot));
        let live = self.create(accepted).await?;
        self.receipt(&live, &snapshot.manifest, bundle_bytes, cursor).await
    }

    async fn receive_manifest(
        &mut self,
        accepted: &Accepted,
        base: Option<Base>,
    ) -> Result<Arrived, Status> {
        let mut arriving = Arriving::new(accepted, base);
        loop {
            match self.next("the manifest").await? {
                Part::Manifest(frame) => arriving.push(&frame)?,
                Part::ManifestEnd(_) => break,
                Part::Offer(_) | Part::Bundle(_) | Part::BundleEnd(_) => {
                    return Err(out_of_order("the manifest"));
                }
            }
        }
        let tracker = self.registry.tracker().clone();
        let finished = self.registry.tracker().spawn_blocking(move || arriving.finish(&tracker));
        finished.await.map_err(|_panicked| not_checked())?
    }

    /// Receives what is lacking and makes it durable, then the manifest. Returns that, and the bytes
    /// that came.
    async fn receive_content(
        &mut self,
        accepted: &Accepted,
        arrived: Arrived,
    ) -> Result<(Arc<Snapshot>, u64), Status> {
        let Arrived { chunk: manifest, candidates, mut decoded, .. } = arrived;
        let lacking = self.lacking(&candidates).await?;
        let content_bytes = offer::bytes_of(&lacking);
        let manifest_bytes = manifest.content().len() as u64;
        let upload_bytes = content_bytes + manifest_bytes;
        let is_early = matches!(decoded, Decoded::Soon(_)) && content_bytes <= EARLY_BYTES_MAX;
        if is_early {
            self.registry.check_room(upload_bytes)?;
        } else {
            let snapshot = decoded.wait().await?;
            accepted.check_manifest(&self.registry, &snapshot.manifest, upload_bytes)?;
            decoded = Decoded::Now(snapshot);
        }
        // Held until all is stored, so that several uploads at once do not take the same room.
        let _room =
            offer::reserve(&self.registry, &self.caller.user, &lacking, manifest.as_ref()).await?;
        let ids: Vec<ChunkId> = lacking.iter().map(|chunk| chunk.id).collect();
        for ids in id_messages(&ids) {
            self.reply(handoff_reply::Part::Needs(wire::Needs { ids, needs_end: false })).await?;
        }
        let end = wire::Needs { ids: Vec::new(), needs_end: true };
        self.reply(handoff_reply::Part::Needs(end)).await?;

        let (approve, approved) = oneshot::channel();
        let last = Last { manifest, is_early, approved };
        let mut upload = Upload::start(&self.registry, &self.caller.user, lacking, last);
        let received = self.feed(&mut upload).await;
        let checked = match &received {
            Ok(_) if is_early => {
                let snapshot = decoded.wait().await;
                snapshot.and_then(|snapshot| {
                    // It may not be on the disk yet.
                    accepted.check_manifest(&self.registry, &snapshot.manifest, manifest_bytes)?;
                    Ok(snapshot)
                })
            }
            Ok(_) | Err(_) => decoded.wait().await,
        };
        match received.is_ok() && checked.is_ok() {
            // Only a worker that failed does not listen, and it tells why below.
            true => drop(approve.send(())),
            false => drop(approve),
        }
        // Also after an error: what was verified stays for the retry.
        let stored = upload.finish().await;
        let received = received?;
        let snapshot = checked?;
        stored?;
        self.verify_complete(&candidates, &ids).await?;
        Ok((snapshot, received))
    }

    /// Those of the chunks that the user does not have, each once.
    async fn lacking(&self, candidates: &[ChunkRef]) -> Result<Vec<ChunkRef>, Status> {
        let blobs = &self.registry.store().blobs;
        let ids: Vec<ChunkId> = candidates.iter().map(|chunk| chunk.id).collect();
        let lacking = blobs.lacks(&self.caller.user, &ids).await?;
        let mut lacking: HashSet<ChunkId> = lacking.into_iter().collect();
        Ok(candidates.iter().filter(|chunk| lacking.remove(&chunk.id)).copied().collect())
    }

    async fn feed(&mut self, upload: &mut Upload) -> Result<u64, Status> {
        let mut received = 0;
        loop {
            tokio::select! {
                acknowledged = upload.acknowledged() => {
                    let told = self.reply(handoff_reply::Part::Acknowledged(acknowledged)).await;
                    // A client that is gone is noticed below, after all that had arrived from it.
                    drop(told);
                }
                part = next(&mut self.requests, &self.superseded, "the bundle") => match part? {
                    Part::Bundle(frame) => {
                        received += frame.data.len() as u64;
                        upload.push(frame).await?;
                        drop(self.reply(handoff_reply::Part::Received(received)).await);
                    }
                    Part::BundleEnd(_) => {
                        upload.end();
                        return Ok(received);
                    }
                    Part::Offer(_) | Part::Manifest(_) | Part::ManifestEnd(_) => {
                        return Err(out_of_order("the bundle"));
                    }
                }
            }
        }
    }

    /// What was there when the call began must be there still: the receipt must not be a lie. What
    /// was received is, or the upload would have failed.
    async fn verify_complete(
        &self,
        candidates: &[ChunkRef],
        received: &[ChunkId],
    ) -> Result<(), Status> {
        let received: HashSet<&ChunkId> = received.iter().collect();
        let old = candidates.iter().map(|chunk| chunk.id).filter(|id| !received.contains(id));
        let old: Vec<ChunkId> = old.collect();
        let lacking = self.registry.store().blobs.lacks(&self.caller.user, &old).await?;
        match lacking.first() {
            None => Ok(()),
            Some(&id) => Err(Status::from(BlobError::Missing { id })),
        }
    }

    async fn create(&self, accepted: Accepted) -> Result<Arc<Live>, Status> {
        // All may have arrived before the device was revoked; its run must not begin afterwards.
        self.caller.ending.check()?;
        let new = NewRun {
            user: self.caller.user.clone(),
            idempotency_key: accepted.idempotency_key,
            name: accepted.name,
            snapshot: accepted.snapshot,
            contract: accepted.contract,
        };
        Ok(self.registry.create(new).await?)
    }

    /// Answers a retry of a call whose receipt was lost.
    async fn receipt_again(&self, offer: &wire::Offer, live: &Live) -> Result<(), Status> {
        let run = live.run();
        if run.snapshot.as_bytes().as_slice() != offer.snapshot {
            return Err(Status::invalid_argument(
                "this key belongs to a run of another snapshot; use a new key",
            ));
        }
        let id = ChunkId::from_bytes(*run.snapshot.as_bytes());
        let encoded = self.registry.store().blobs.get(&self.caller.user, &id).await?;
        let snapshot = SnapshotManifest::decode(&encoded, &Limits::DEFAULT).map_err(failed)?;
        // From the beginning: rather tell the notifier again than never.
        self.receipt(live, &snapshot, 0, Rev::ZERO).await
    }

    async fn receipt(
        &self,
        live: &Live,
        snapshot: &SnapshotManifest,
        bundle_bytes_received: u64,
        cursor: Rev,
    ) -> Result<(), Status> {
        let run = live.run();
        self.reply(handoff_reply::Part::Receipt(wire::Receipt {
            run_id: run.id.to_string(),
            snapshot: run.snapshot.as_bytes().to_vec(),
            seq: 1,
            entries: snapshot.entries.len() as u64,
            content_bytes: snapshot.content_bytes(),
            bundle_bytes_received,
            run: Some(wire::RunView::from(&run)),
            cursor: cursor.to_string(),
        }))
        .await
    }

    async fn next(&mut self, expected: &str) -> Result<Part, Status> {
        next(&mut self.requests, &self.superseded, expected).await
    }

    async fn reply(&self, part: handoff_reply::Part) -> Result<(), Status> {
        let reply = wire::HandoffReply { part: Some(part) };
        tokio::select! {
            sent = self.replies.send(Ok(reply)) => {
                sent.map_err(|_gone| Status::cancelled("client is gone"))
            }
            () = self.superseded.cancelled() => Err(superseded()),
        }
    }
}

/// The next part of the call. Safe to drop while it waits.
async fn next(
    requests: &mut Streaming<wire::HandoffRequest>,
    taken_over: &CancellationToken,
    expected: &str,
) -> Result<Part, Status> {
    let message = tokio::select! {
        biased;
        message = timeout(IDLE, requests.message()) => message,
        () = taken_over.cancelled() => return Err(superseded()),
    };
    let message = message.map_err(|_elapsed| {
        let seconds = IDLE.as_secs();
        Status::deadline_exceeded(format!("nothing came for {seconds} s while {expected} was due"))
    })??;
    message.and_then(|request| request.part).ok_or_else(|| out_of_order(expected))
}

/// What a call is told whose client has called again.
fn superseded() -> Status {
    Status::aborted("the same handoff was begun again")
}

fn out_of_order(expected: &str) -> Status {
    Status::invalid_argument(format!("expected {expected}"))
}
