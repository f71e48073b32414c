//! Clients that want too much, speak too slowly or flood: their own connection ends, or waits, and
//! everybody else is served.

use std::{io, time::Duration};

use handoff_proto::{
    problem::{Code, Problem},
    wire::{RunSelector, runs_client::RunsClient},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::server::{Device, Server, in_time};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What `RST_STREAM` says to give a call up.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// A client that writes HTTP/2 frames as it likes.
struct Raw(TlsStream<TcpStream>);

impl Raw {
    async fn connect(server: &Server, device: &Device) -> Self {
        let tls = server.tls(server.authority.certificate(), Some(device)).await;
        let mut raw = Self(tls.expect("tls"));
        raw.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("preface");
        raw.frame(SETTINGS, 0, 0, &[]).await.expect("settings");
        raw
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len()).expect("a frame").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(body);
        self.0.write_all(&frame).await
    }

    /// Sends frames until the server ends the connection or takes no more; says how many it took.
    async fn flood(
        &mut self,
        max: u32,
        frames: impl Fn(u32) -> Vec<(u8, u8, u32, Vec<u8>)>,
    ) -> u32 {
        for round in 0..max {
            for (kind, flags, stream, body) in frames(round) {
                let sent = self.frame(kind, flags, stream, &body);
                match timeout(Duration::from_secs(2), sent).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return round,
                }
            }
        }
        max
    }

    /// Waits until the server has ended the connection; returns what it said before.
    async fn end(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        // With or without a proper end of TLS.
        drop(self.0.read_to_end(&mut said).await);
        said
    }
}

/// The headers of a call, in HPACK without a table.
fn call(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x87, 0x04];
    block.push(u8::try_from(path.len()).expect("short"));
    block.extend(path.as_bytes());
    block
}

/// A stream that a client may begin.
const fn stream(round: u32) -> u32 {
    2 * round + 1
}

async fn still_serves(server: &Server, device: &Device) {
    assert_eq!(server.call(Some(device)).await.code(), tonic::Code::Unimplemented, "let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_given_up_at_once_end_the_connection() {
    in_time(async {
        let server = Server::start().await;
        let device = server.pair().await;
        let mut raw = Raw::connect(&server, &device).await;
        let headers = call("/handoff.v1.Runs/Info");
        let taken = raw
            .flood(1 << 20, |round| {
                let begin = (HEADERS, END_HEADERS | END_STREAM, stream(round), headers.clone());
                vec![begin, (RST_STREAM, 0, stream(round), CANCEL.to_vec())]
            })
            .await;
        assert!(taken < 1 << 20, "it goes on and on");
        still_serves(&server, &device).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_an_end_end_the_connection() {
    in_time(async {
        let server = Server::start().await;
        let device = server.pair().await;
        let mut raw = Raw::connect(&server, &device).await;
        let begun = raw.frame(HEADERS, 0, 1, &call("/handoff.v1.Runs/Info")).await;
        begun.expect("headers");
        let filler = [&[0x00, 1, b'x', 0x7f, 0x81, 0x1e][..], &[b'y'; 4000]].concat();
        let taken = raw.flood(1 << 16, |_| vec![(CONTINUATION, 0, 1, filler.clone())]).await;
        assert!(taken < 1 << 12, "it took {taken} frames");
        still_serves(&server, &device).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_frames_whose_answers_are_not_read_are_not_collected() {
    in_time(async {
        let server = Server::start().await;
        let device = server.pair().await;
        for (kind, body) in [(PING, vec![0; 8]), (SETTINGS, vec![0, 4, 0, 0, 255, 255])] {
            let mut raw = Raw::connect(&server, &device).await;
            // Until both directions of the connection are full: then nothing is read any more.
            let taken = raw.flood(1 << 22, |_| vec![(kind, 0, 0, body.clone())]).await;
            assert!(taken < 1 << 22, "frame of kind {kind}: it goes on and on");
            still_serves(&server, &device).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_too_many_headers_is_refused() {
    in_time(async {
        let server = Server::start().await;
        let device = server.pair().await;
        let mut client = RunsClient::new(server.channel(Some(&device)).await);
        let mut request = tonic::Request::new(RunSelector::default());
        for number in 0..8 {
            let name: tonic::metadata::MetadataKey<_> =
                format!("x-{number}").parse().expect("a name");
            request.metadata_mut().insert(name, "y".repeat(4000).parse().expect("a value"));
        }
        client.show(request).await.expect_err("refused");
        still_serves(&server, &device).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_larger_than_its_method_needs_is_refused() {
    in_time(async {
        let server = Server::with_runs().await;
        let device = server.pair().await;
        let mut client = RunsClient::new(server.channel(Some(&device)).await);
        let selector = |length| RunSelector { run: "x".repeat(length), directory: Vec::new() };
        let found = client.show(selector(8 << 10)).await.expect_err("no such run");
        assert_eq!(found.code(), tonic::Code::NotFound);
        let refused = client.show(selector(32 << 10)).await.expect_err("too large");
        let problem = Problem::from_status(&refused);
        assert_eq!(problem.code, Code::Refused, "{problem}");
        assert_eq!(problem.message, "request is larger than 16384 bytes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_strangers_keep_nobody_out() {
    in_time(async {
        let server = Server::start().await;
        let device = server.pair().await;
        let mut strangers = Vec::new();
        for _ in 0..80 {
            strangers.push(TcpStream::connect(server.address).await.expect("connect"));
            // Each call makes sure that the stranger before it was seen.
            still_serves(&server, &device).await;
        }
        server.pair_user("bob").await;
        let oldest = timeout(Duration::from_secs(5), strangers[0].read(&mut [0; 1])).await;
        assert!(matches!(oldest.expect("it was closed"), Ok(0) | Err(_)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_leaves_connections_for_others() {
    in_time(async {
        let server = Server::start().await;
        let (ada, bob) = (server.pair().await, server.pair_user("bob").await);
        let mut held = Vec::new();
        for _ in 0..32 {
            let mut raw = Raw::connect(&server, &ada).await;
            // The server's settings come once it has its place.
            raw.0.read_u8().await.expect("settings");
            held.push(raw);
        }
        let refused = Problem::from_status(&server.call(Some(&ada)).await);
        assert_eq!(refused.code, Code::Unreachable);
        assert_eq!(refused.message, "user ada has 32 connections already");
        still_serves(&server, &bob).await;
        drop(held);
        // Its places are free again a moment later.
        while server.call(Some(&ada)).await.code() != tonic::Code::Unimplemented {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_revoked_is_disconnected_also_without_reading() {
    in_time(async {
        let server = Server::start().await;
        let device = server.pair().await;
        let mut raw = Raw::connect(&server, &device).await;
        // A call that is never finished.
        raw.frame(HEADERS, END_HEADERS, 1, &call("/handoff.v1.Runs/Show")).await.expect("call");
        raw.0.read_u8().await.expect("settings");
        server.revoke("ada").await;
        raw.end().await;
    })
    .await;
}
