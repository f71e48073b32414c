//! A remote that was taken over and answers for contents as it likes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use handoff_proto::bundle::Writer;
use handoff_proto::frames::{frames, pack_manifest};
use handoff_proto::manifest::VERSION;
use handoff_proto::wire::runs_server::{Runs, RunsServer};
use handoff_proto::wire::{self, ManifestFrame};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::*;

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Makes one answer; they may be endless.
type Make<T> = Arc<dyn Fn() -> Box<dyn Iterator<Item = T> + Send> + Send + Sync>;

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

const RUN: &str = "abcdefghij";

#[derive(Clone)]
struct Hostile {
    manifest: Make<ManifestFrame>,
    chunks: Make<Frame>,
    /// Whether a stream stays open after its last message.
    holds_on: bool,
}

impl Hostile {
    fn with_manifest<I>(make: impl Fn() -> I + Send + Sync + 'static) -> Self
    where
        I: Iterator<Item = ManifestFrame> + Send + 'static,
    {
        let chunks: Make<Frame> = Arc::new(|| Box::new(std::iter::empty()));
        Self { manifest: Arc::new(move || Box::new(make())), chunks, holds_on: false }
    }

    fn with_chunks<I>(make: impl Fn() -> I + Send + Sync + 'static) -> Self
    where
        I: Iterator<Item = Frame> + Send + 'static,
    {
        let manifest: Make<ManifestFrame> = Arc::new(|| Box::new(std::iter::empty()));
        Self { manifest, chunks: Arc::new(move || Box::new(make())), holds_on: false }
    }

    fn answer<T: Send + 'static>(&self, make: &Make<T>) -> Response<Answer<T>> {
        let messages = tokio_stream::iter(make().map(Ok));
        Response::new(match self.holds_on {
            true => Box::pin(messages.chain(tokio_stream::pending())),
            false => Box::pin(messages),
        })
    }

    async fn serve(self) -> Remote {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(RunsServer::new(self));
        TaskTracker::new().spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Remote::plain("box", address).await.unwrap()
    }

    /// Asks it for a manifest.
    async fn manifest(self, id: ResultId) -> String {
        let remote = self.serve().await;
        let asked = timeout(PATIENCE, result(&remote, RUN, id)).await.expect("in time");
        asked.expect_err("refused").to_string()
    }

    /// Asks it for two contents, of which it sends what it likes.
    async fn chunks(self) -> Result<Chunks, FetchError> {
        let remote = self.serve().await;
        let directory = tempfile::tempdir().unwrap();
        let size = |content: &[u8]| u32::try_from(content.len()).unwrap();
        let wanted = WANTED.map(|content| (ChunkId::of(content), size(content)));
        let chunks = Chunks::new(directory.path()).unwrap();
        let wanted = HashMap::from(wanted);
        let asked = contents(&remote, RUN, &wanted, chunks, |_| {});
        timeout(PATIENCE, asked).await.expect("in time")
    }
}

const WANTED: [&[u8]; 2] = [b"one", b"three"];

fn bundle(sent: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bundle = Writer::new(Vec::new(), 1).unwrap();
    for (named, content) in sent {
        bundle.chunk(&ChunkId::of(named), content).unwrap();
    }
    bundle.finish().unwrap()
}

fn empty_result(base: u8) -> Vec<u8> {
    let result = ResultManifest {
        version: VERSION,
        base: SnapshotId::from_bytes([base; 32]),
        root: "/home/ada/app".parse().unwrap(),
        entries: Vec::new(),
        repositories: Vec::new(),
        new_repositories: Vec::new(),
        session: None,
    };
    result.encode()
}

fn manifest_frames(plain: &[u8], announced: u64) -> Vec<ManifestFrame> {
    let frames = frames(pack_manifest(plain).into());
    frames.map(|frame| ManifestFrame { manifest_bytes: announced, frame: Some(frame) }).collect()
}

#[tokio::test]
async fn a_manifest_is_what_was_asked_for_or_nothing() {
    let (asked, other) = (empty_result(1), empty_result(2));
    let id = ResultId::of(&asked);
    let len = asked.len() as u64;
    for (frames, said) in [
        (manifest_frames(&other, len), "another manifest"),
        (manifest_frames(&asked, len - 1), "damaged"),
        (manifest_frames(&asked, len + 1), "damaged"),
        (manifest_frames(&asked, u64::MAX), "more than this program accepts"),
        (manifest_frames(&vec![0; 64 << 20], len), "damaged"),
        (manifest_frames(b"", 0), "another manifest"),
        (Vec::new(), "damaged"),
        (vec![ManifestFrame::default()], "empty frame"),
    ] {
        let hostile = Hostile::with_manifest(move || frames.clone().into_iter());
        let error = hostile.manifest(id).await;
        assert!(error.contains(said), "{said:?} is not said: {error}");
    }
    let hostile = Hostile::with_manifest(move || manifest_frames(&other, len).into_iter());
    let error = hostile.manifest(ResultId::of(b"no manifest")).await;
    assert!(error.contains("another manifest"), "{error}");
    let hostile = Hostile::with_manifest(|| manifest_frames(b"no manifest", 11).into_iter());
    let error = hostile.manifest(ResultId::of(b"no manifest")).await;
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn endless_streams_come_to_an_end() {
    let id = ResultId::of(&empty_result(1));
    let empty = || std::iter::repeat_with(ManifestFrame::default);
    assert!(Hostile::with_manifest(empty).manifest(id).await.contains("empty frame"));
    let large = || {
        (0..).map(|number: u64| ManifestFrame {
            manifest_bytes: 1 << 20,
            frame: Some(Frame { offset: number << 20, data: vec![0; 1 << 20].into() }),
        })
    };
    assert!(Hostile::with_manifest(large).manifest(id).await.contains("more than this program"));

    let empty = || std::iter::repeat_with(Frame::default);
    Hostile::with_chunks(empty).chunks().await.expect_err("empty frames");
    // A complete bundle, and noise that goes on for ever.
    let noise = || {
        let first = bundle(&[(WANTED[0], WANTED[0]), (WANTED[1], WANTED[1])]);
        let len = first.len() as u64;
        let more = (0..).map(move |number: u64| Frame {
            offset: len + (number << 16),
            data: vec![0; 1 << 16].into(),
        });
        frames(first.into()).chain(more)
    };
    match Hostile::with_chunks(noise).chunks().await {
        Ok(chunks) => assert_eq!(chunks.get(&ChunkId::of(WANTED[1])).unwrap(), WANTED[1]),
        Err(error) => assert!(matches!(error, FetchError::Bundle(_)), "{error}"),
    }
}

#[tokio::test]
async fn a_stream_that_is_held_open_keeps_nobody() {
    let complete = || frames(bundle(&[(WANTED[0], WANTED[0]), (WANTED[1], WANTED[1])]).into());
    let hostile = Hostile { holds_on: true, ..Hostile::with_chunks(complete) };
    let error = hostile.chunks().await.expect_err("it never ends");
    assert!(matches!(error, FetchError::Idle), "{error}");
    let hostile = Hostile { holds_on: true, ..Hostile::with_manifest(std::iter::empty) };
    assert!(hostile.manifest(ResultId::of(b"x")).await.contains("nothing for"));
}

#[tokio::test]
async fn contents_are_what_their_ids_say_and_no_more_than_was_asked_for() {
    let large = vec![0_u8; 32 << 20];
    for sent in [
        bundle(&[(WANTED[0], b"two"), (WANTED[1], WANTED[1])]),
        bundle(&[(WANTED[0], b"one and more"), (WANTED[1], WANTED[1])]),
        bundle(&[(WANTED[0], &large)]),
        bundle(&[(WANTED[0], WANTED[0]), (WANTED[0], WANTED[0]), (WANTED[1], WANTED[1])]),
        bundle(&[(b"other", b"other"), (WANTED[1], WANTED[1])]),
        bundle(&[(WANTED[0], WANTED[0])]),
        bundle(&[]),
        b"no bundle at all".to_vec(),
        Vec::new(),
    ] {
        let hostile = Hostile::with_chunks(move || frames(sent.clone().into()));
        let error = hostile.chunks().await.expect_err("refused");
        assert!(matches!(error, FetchError::Bundle(_) | FetchError::Missing(_)), "{error}");
    }
    // Frames out of order.
    let shifted = || {
        frames(bundle(&[(WANTED[0], WANTED[0])]).into())
            .map(|frame| Frame { offset: frame.offset + 1, ..frame })
    };
    Hostile::with_chunks(shifted).chunks().await.expect_err("refused");
}

/// Implements the service: manifests and contents as above, and everything else not at all.
macro_rules! serve_contents_only {
    ($($name:ident($request:ty) -> $reply:ty;)*) => {
        #[tonic::async_trait]
        impl Runs for Hostile {
            type HandoffStream = ReceiverStream<Result<wire::HandoffReply, Status>>;
            type LacksStream = ReceiverStream<Result<wire::ChunkIds, Status>>;
            type WatchStream = ReceiverStream<Result<wire::RunRecord, Status>>;
            type WatchAllStream = ReceiverStream<Result<wire::WatchAllReply, Status>>;
            type LogsStream = ReceiverStream<Result<wire::OutputRecord, Status>>;
            type AttachStream = ReceiverStream<Result<wire::AttachReply, Status>>;
            type ManifestStream = Answer<ManifestFrame>;
            type ChunksStream = Answer<Frame>;

            async fn manifest(
                &self,
                _: Request<ManifestRequest>,
            ) -> Result<Response<Self::ManifestStream>, Status> {
                Ok(self.answer(&self.manifest))
            }

            async fn chunks(
                &self,
                _: Request<Streaming<ChunksRequest>>,
            ) -> Result<Response<Self::ChunksStream>, Status> {
                Ok(self.answer(&self.chunks))
            }

            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$reply>, Status> {
                Err(Status::unimplemented("not needed"))
            })*
        }
    };
}

serve_contents_only! {
    handoff(Streaming<wire::HandoffRequest>) -> Self::HandoffStream;
    lacks(Streaming<wire::ChunkIds>) -> Self::LacksStream;
    list(wire::ListRequest) -> wire::ListReply;
    show(RunSelector) -> wire::RunView;
    watch(wire::WatchRequest) -> Self::WatchStream;
    watch_all(wire::WatchAllRequest) -> Self::WatchAllStream;
    logs(wire::LogsRequest) -> Self::LogsStream;
    attach(Streaming<wire::AttachRequest>) -> Self::AttachStream;
    answer(wire::AnswerRequest) -> wire::RunView;
    say(wire::SayRequest) -> wire::RunView;
    stop(RunSelector) -> wire::RunView;
    remove(RunSelector) -> wire::RemoveReply;
    info(wire::InfoRequest) -> wire::InfoReply;
    check(wire::Offer) -> wire::Empty;
    usage(wire::UsageRequest) -> wire::UsageReply;
}
