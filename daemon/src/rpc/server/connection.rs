//! One connection: HTTP/2 with its limits, and the check that each call goes through.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tonic::{Status, body::Body, service::Routes};
use tower::ServiceExt;

use super::{
    Tasks,
    ending::{Ending, Reply, Request},
};
use crate::rpc::identity::{Caller, Identity, Peer};

/// What one stream of a connection may have in flight: uploads over 40 ms of latency need it.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;

/// What all streams of a connection together may have in flight.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// Largest frame: fewer of them than at the default of 16 KiB.
const FRAME_BYTES_MAX: u32 = 64 << 10;

/// Calls at a time on one connection.
const STREAMS_MAX: u32 = 64;

/// All headers of one call.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// A silent peer is asked that often whether it lives, and has as long again to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long a connection goes on for its calls to be told why they end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The one service that a peer without a certificate may call.
const OPEN_SERVICE: &str = "/handoff.v1.Enrollment/";

/// Who gets in.
#[derive(Clone, Debug)]
pub(in crate::rpc) enum Door {
    /// Known devices; others may only enroll.
    Devices {
        /// Tells them apart.
        identity: Identity,
        /// Who is at the door.
        peer: Peer,
    },
    /// The operator, who was recognised already.
    Operator,
}

impl Door {
    /// Waits from now on until whoever came through is not let in any more; says why.
    fn closed(&self) -> Pin<Box<dyn Future<Output = Status> + Send>> {
        match self {
            Self::Devices { identity, peer: peer @ Peer::Certificate(_) } => {
                Box::pin(identity.refusal(*peer))
            }
            Self::Devices { peer: Peer::Anonymous, .. } | Self::Operator => {
                Box::pin(std::future::pending())
            }
        }
    }
}

/// Serves one connection until either side ends it, or who it belongs to is revoked.
pub(in crate::rpc) async fn serve_connection(
    tasks: &Tasks,
    routes: &Routes,
    door: Door,
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), String> {
    let (used, ending) = (AtomicBool::new(false), Ending::default());
    // Before the first call is let in: none may slip through between.
    let closed = door.closed();
    let service = service_fn(|call| {
        used.store(true, Ordering::Relaxed);
        let (routes, door, ending) = (routes.clone(), door.clone(), ending.clone());
        async move { Ok::<_, Infallible>(answer(routes, door, ending, call).await) }
    });
    let connection = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let wait = tokio::select! {
        result = connection.as_mut() => return result.map_err(|error| error.to_string()),
        // Whoever serves ends the task when its time is over.
        () = tasks.closing() => Duration::MAX,
        why = closed => {
            ending.end(why);
            LAST_WORDS
        }
    };
    connection.as_mut().graceful_shutdown();
    if !used.load(Ordering::Relaxed) {
        // Perhaps not even HTTP/2 yet, which a graceful shutdown would wait for.
        return Ok(());
    }
    match timeout(wait, connection).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_elapsed) => Err("its calls did not take their end".to_owned()),
    }
}

async fn answer(
    routes: Routes,
    door: Door,
    ending: Ending,
    call: http::Request<Incoming>,
) -> http::Response<Body> {
    let mut call = call.map(|body| Body::new(Request::new(body, &ending)));
    if let Door::Devices { identity, peer } = door
        && !call.uri().path().starts_with(OPEN_SERVICE)
    {
        match identity.admit(peer).await {
            Ok(device) => {
                let caller =
                    Caller { user: device.user, device: device.name, ending: ending.clone() };
                drop(call.extensions_mut().insert(caller));
            }
            Err(status) => return status.into_http(),
        }
    }
    tokio::select! {
        biased;
        why = ending.wait() => why.into_http(),
        reply = routes.oneshot(call) => match reply {
            Ok(reply) => reply.map(|body| Body::new(Reply::new(body, &ending))),
            Err(never) => match never {},
        },
    }
}
