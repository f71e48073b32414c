//! One connection: HTTP/2 with its limits, and the check that each call goes through.

use std::{
    convert::Infallible,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{body::Body, service::Routes};
use tower::ServiceExt;

use super::Tasks;
use crate::rpc::identity::{Identity, Peer};

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

/// Serves one connection until either side ends it.
pub(in crate::rpc) async fn serve_connection(
    tasks: &Tasks,
    routes: &Routes,
    door: Door,
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), String> {
    let used = AtomicBool::new(false);
    let service = service_fn(|call| {
        used.store(true, Ordering::Relaxed);
        let (routes, door) = (routes.clone(), door.clone());
        async move { Ok::<_, Infallible>(answer(routes, door, call).await) }
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
    tokio::select! {
        result = connection.as_mut() => return result.map_err(|error| error.to_string()),
        () = tasks.closing() => connection.as_mut().graceful_shutdown(),
    }
    if !used.load(Ordering::Relaxed) {
        // Perhaps not even HTTP/2 yet, which a graceful shutdown would wait for.
        return Ok(());
    }
    connection.await.map_err(|error| error.to_string())
}

async fn answer(
    routes: Routes,
    door: Door,
    mut call: http::Request<Incoming>,
) -> http::Response<Body> {
    if let Door::Devices { identity, peer } = door
        && !call.uri().path().starts_with(OPEN_SERVICE)
    {
        match identity.admit(peer).await {
            Ok(caller) => drop(call.extensions_mut().insert(caller)),
            Err(status) => return status.into_http(),
        }
    }
    match routes.oneshot(call).await {
        Ok(reply) => reply,
        Err(never) => match never {},
    }
}
