//! A daemon that speaks the protocol and misbehaves as it is told.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use handoff_proto::bundle::{BundleLimits, Item, Reader};
use handoff_proto::chunk::ChunkId;
use handoff_proto::frames::unpack_manifest;
use handoff_proto::manifest::{Limits, SnapshotManifest};
use handoff_proto::problem::{Code, Problem};
use handoff_proto::wire;
use handoff_proto::wire::handoff_reply::Part as Reply;
use handoff_proto::wire::handoff_request::Part;
use handoff_proto::wire::runs_server::{Runs, RunsServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

/// How the daemon takes one attempt.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// As it should.
    Good,
    /// Keeps what came and breaks off after so many bytes of the bundle.
    BreaksOff(usize),
    /// Takes everything, but the receipt is lost.
    LosesReceipt,
    /// Sends a receipt that was changed.
    Lies(fn(&mut wire::Receipt)),
    /// Refuses the offer.
    Refuses(Code),
}

/// What the daemon has seen and kept.
#[derive(Debug, Default)]
pub(super) struct Seen {
    manners: VecDeque<Manner>,
    pub(super) chunks: HashMap<ChunkId, Vec<u8>>,
    pub(super) offers: Vec<wire::Offer>,
    /// How many chunks each attempt was asked for.
    pub(super) needed: Vec<usize>,
    runs: HashMap<Vec<u8>, wire::Receipt>,
}

/// The daemon; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Fake(Arc<Mutex<Seen>>);

type Replies = mpsc::Sender<Result<wire::HandoffReply, Status>>;

impl Fake {
    pub(super) fn new(manners: impl IntoIterator<Item = Manner>) -> Self {
        let fake = Self::default();
        fake.seen(|seen| seen.manners.extend(manners));
        fake
    }

    pub(super) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// Serves on a free port until the test's runtime ends.
    pub(super) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(RunsServer::new(self.clone()));
        TaskTracker::new().spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    async fn take(
        &self,
        mut requests: Streaming<wire::HandoffRequest>,
        replies: &Replies,
    ) -> Result<(), Status> {
        let manner = self.seen(|seen| seen.manners.pop_front()).unwrap_or(Manner::Good);
        let Some(Part::Offer(offer)) = next(&mut requests).await? else {
            return Err(Status::invalid_argument("no offer"));
        };
        self.seen(|seen| seen.offers.push(offer.clone()));
        if let Manner::Refuses(code) = manner {
            return Err(Problem::new(code, "no").with_hint("do something else").into_status());
        }
        if let Some(receipt) = self.seen(|seen| seen.runs.get(&offer.idempotency_key).cloned()) {
            return reply(replies, Reply::Receipt(receipt)).await;
        }
        reply(replies, Reply::Accepted(wire::Accepted { base_known: false })).await?;
        let mut packed = Vec::new();
        while let Some(Part::Manifest(frame)) = next(&mut requests).await? {
            packed.extend_from_slice(&frame.data);
        }
        let encoded = unpack_manifest(&*packed, offer.manifest_bytes).unwrap();
        let manifest = SnapshotManifest::decode(&encoded, &Limits::DEFAULT).unwrap();
        let mut lacking: Vec<_> = manifest.chunks().collect();
        self.seen(|seen| lacking.retain(|chunk| !seen.chunks.contains_key(&chunk.id)));
        lacking.sort_by_key(|chunk| chunk.id);
        lacking.dedup();
        self.seen(|seen| seen.needed.push(lacking.len()));
        for chunk in &lacking {
            let needs = wire::Needs { ids: chunk.id.as_bytes().to_vec(), needs_end: false };
            reply(replies, Reply::Needs(needs)).await?;
        }
        reply(replies, Reply::Needs(wire::Needs { ids: Vec::new(), needs_end: true })).await?;

        let mut bundle = Vec::new();
        let mut broken = None;
        while let Some(Part::Bundle(frame)) = next(&mut requests).await? {
            assert_eq!(frame.offset, bundle.len() as u64);
            assert!(!lacking.is_empty(), "a bundle came though nothing is lacking");
            bundle.extend_from_slice(&frame.data);
            reply(replies, Reply::Received(bundle.len() as u64)).await?;
            if let Manner::BreaksOff(after) = manner
                && bundle.len() >= after
            {
                bundle.truncate(after);
                broken = Some(Status::unavailable("connection lost"));
                break;
            }
        }
        let mut reader = Reader::new(&*bundle, BundleLimits::new(0, u64::MAX));
        reader.expect(lacking).unwrap();
        while let Ok(Some(Item::Chunk(chunk))) = reader.next_item() {
            let (id, content) = (chunk.id(), chunk.into_content());
            self.seen(|seen| seen.chunks.insert(id, content));
        }
        if let Some(broken) = broken {
            reply(replies, Reply::Acknowledged(bundle.len() as u64)).await?;
            return Err(broken);
        }
        let mut receipt = receipt(&offer, &manifest, bundle.len() as u64);
        self.seen(|seen| seen.runs.insert(offer.idempotency_key.clone(), receipt.clone()));
        match manner {
            Manner::LosesReceipt => return Err(Status::unavailable("connection lost")),
            Manner::Lies(change) => change(&mut receipt),
            Manner::Good | Manner::BreaksOff(_) | Manner::Refuses(_) => {}
        }
        reply(replies, Reply::Receipt(receipt)).await
    }
}

fn receipt(offer: &wire::Offer, manifest: &SnapshotManifest, bundle_bytes: u64) -> wire::Receipt {
    let run = wire::RunView { id: "abcdefghij".to_owned(), ..wire::RunView::default() };
    wire::Receipt {
        run_id: run.id.clone(),
        snapshot: offer.snapshot.clone(),
        seq: 1,
        entries: manifest.entries.len() as u64,
        content_bytes: manifest.content_bytes(),
        bundle_bytes_received: bundle_bytes,
        run: Some(run),
        cursor: "7".to_owned(),
    }
}

async fn next(requests: &mut Streaming<wire::HandoffRequest>) -> Result<Option<Part>, Status> {
    Ok(requests.message().await?.and_then(|request| request.part))
}

async fn reply(replies: &Replies, part: Reply) -> Result<(), Status> {
    let sent = replies.send(Ok(wire::HandoffReply { part: Some(part) })).await;
    sent.map_err(|_| Status::cancelled("the client is gone"))
}

/// Implements the service: `Handoff` as above, and everything else not at all.
macro_rules! serve_handoff_only {
    ($($name:ident($request:ty) -> $reply:ty;)*) => {
        #[tonic::async_trait]
        impl Runs for Fake {
            type HandoffStream = ReceiverStream<Result<wire::HandoffReply, Status>>;
            type LacksStream = ReceiverStream<Result<wire::ChunkIds, Status>>;
            type WatchStream = ReceiverStream<Result<wire::RunRecord, Status>>;
            type WatchAllStream = ReceiverStream<Result<wire::WatchAllReply, Status>>;
            type LogsStream = ReceiverStream<Result<wire::OutputRecord, Status>>;
            type AttachStream = ReceiverStream<Result<wire::AttachReply, Status>>;
            type ManifestStream = ReceiverStream<Result<wire::ManifestFrame, Status>>;
            type ChunksStream = ReceiverStream<Result<wire::Frame, Status>>;

            async fn handoff(
                &self,
                request: Request<Streaming<wire::HandoffRequest>>,
            ) -> Result<Response<Self::HandoffStream>, Status> {
                let (replies, receiver) = mpsc::channel(4);
                let fake = self.clone();
                TaskTracker::new().spawn(async move {
                    if let Err(status) = fake.take(request.into_inner(), &replies).await {
                        drop(replies.send(Err(status)).await);
                    }
                });
                Ok(Response::new(ReceiverStream::new(receiver)))
            }

            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$reply>, Status> {
                Err(Status::unimplemented("not needed"))
            })*
        }
    };
}

serve_handoff_only! {
    lacks(Streaming<wire::ChunkIds>) -> Self::LacksStream;
    list(wire::ListRequest) -> wire::ListReply;
    show(wire::RunSelector) -> wire::RunView;
    watch(wire::WatchRequest) -> Self::WatchStream;
    watch_all(wire::WatchAllRequest) -> Self::WatchAllStream;
    logs(wire::LogsRequest) -> Self::LogsStream;
    attach(Streaming<wire::AttachRequest>) -> Self::AttachStream;
    answer(wire::AnswerRequest) -> wire::RunView;
    say(wire::SayRequest) -> wire::RunView;
    stop(wire::RunSelector) -> wire::RunView;
    remove(wire::RunSelector) -> wire::RemoveReply;
    manifest(wire::ManifestRequest) -> Self::ManifestStream;
    chunks(Streaming<wire::ChunksRequest>) -> Self::ChunksStream;
    info(wire::InfoRequest) -> wire::InfoReply;
    check(wire::Offer) -> wire::Empty;
    usage(wire::UsageRequest) -> wire::UsageReply;
}
