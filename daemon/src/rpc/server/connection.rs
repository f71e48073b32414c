//! One connection: HTTP/2 with its limits, and the check that each call goes through.
//!
//! Against floods of resets, headers and control frames the limits of hyper and h2 hold; they are
//! tested here all the same (`tests/rpc/floods.rs`), since an upgrade may change them.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{sleep, timeout},
};
use tonic::{Status, body::Body, service::Routes};
use tower::ServiceExt;

use super::{
    Tasks,
    ending::{Ending, Reply},
    limits, places,
    request::Request,
};
use crate::rpc::identity::{Caller, Identity, Peer};

/// What may be in flight on one stream, and on all of a connection: uploads over 40 ms of latency
/// need it. Also what a hostile client can have us hold in memory.
const LARGE_WINDOWS_BYTES: (u32, u32) = (16 << 20, 32 << 20);

/// The same for connections that are more than a user needs.
const SMALL_WINDOWS_BYTES: (u32, u32) = (1 << 20, 2 << 20);

/// The same for strangers: more than a request for a certificate.
const STRANGER_WINDOWS_BYTES: (u32, u32) = (64 << 10, 64 << 10);

/// Largest frame: fewer of them than at the default of 16 KiB.
const FRAME_BYTES_MAX: u32 = 64 << 10;

/// Calls at a time on one connection, and on one of a stranger.
const STREAMS_MAX: u32 = 64;
const STRANGER_STREAMS_MAX: u32 = 4;

/// All headers of one call.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Calls that were reset before they were looked at: several times what a laptop that is cut off
/// gives up at once; more is an attack, and ends the connection.
const RESETS_MAX: usize = 2 * STREAMS_MAX as usize;

/// Calls that were refused for breaking HTTP/2: none comes from our clients.
const ERRORS_MAX: usize = 64;

/// A silent peer is asked that often whether it lives, and has as long again to answer. Ends also
/// who begins a header and does not go on.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long a connection without calls is kept: longer than a capture of a large tree takes.
/// Clients connect again by themselves.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// How long a connection goes on for its calls to be told why they end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The one service that a stranger may call.
const OPEN_SERVICE: &str = "/handoff.v1.Enrollment/";

/// Who gets in.
#[derive(Clone, Debug)]
pub(in crate::rpc) enum Door {
    /// A known device.
    Device(Device),
    /// A stranger, or who has too much already: told so, and may only enroll.
    Closed(Status),
    /// The operator, who was recognised already.
    Operator,
}

/// A device that was known when it came.
#[derive(Clone, Debug)]
pub(in crate::rpc) struct Device {
    /// Tells whether it still is.
    pub(super) identity: Identity,
    /// Who it is.
    pub(super) peer: Peer,
    /// Its place, held for as long as the connection lasts.
    pub(super) place: Arc<places::Connection>,
}

impl Door {
    /// Waits from now on until whoever came through is not let in any more; says why.
    fn closed(&self) -> Pin<Box<dyn Future<Output = Status> + Send>> {
        match self {
            Self::Device(device) => Box::pin(device.identity.refusal(device.peer)),
            Self::Closed(_) | Self::Operator => Box::pin(std::future::pending()),
        }
    }

    /// Bytes in flight on a stream and on the connection; calls at a time.
    fn room(&self) -> ((u32, u32), u32) {
        match self {
            Self::Device(device) if device.place.is_large => (LARGE_WINDOWS_BYTES, STREAMS_MAX),
            Self::Device(_) | Self::Operator => (SMALL_WINDOWS_BYTES, STREAMS_MAX),
            Self::Closed(_) => (STRANGER_WINDOWS_BYTES, STRANGER_STREAMS_MAX),
        }
    }
}

/// How many calls of a connection go on. Cheap to clone.
#[derive(Clone, Debug)]
struct Open(Arc<watch::Sender<usize>>);

/// One of them, until it is dropped.
struct Going(Open);

impl Open {
    fn begin(&self) -> Going {
        self.0.send_modify(|going| *going += 1);
        Going(self.clone())
    }

    /// Waits until there was none for so long.
    async fn idle(&self, max: Duration) {
        let mut going = self.0.subscribe();
        while going.wait_for(|going| *going == 0).await.is_ok() {
            tokio::select! {
                () = sleep(max) => return,
                _ = going.changed() => {}
            }
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.0.0.send_modify(|going| *going -= 1);
    }
}

/// Serves one connection until either side ends it, it is not used, or its device is revoked.
pub(in crate::rpc) async fn serve_connection(
    tasks: &Tasks,
    routes: &Routes,
    door: Door,
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), String> {
    let (used, ending) = (AtomicBool::new(false), Ending::default());
    let open = Open(watch::Sender::new(0).into());
    // Before the first call is let in: none may slip through between.
    let closed = door.closed();
    let ((stream_bytes, connection_bytes), streams_max) = door.room();
    let service = service_fn(|call| {
        used.store(true, Ordering::Relaxed);
        let (routes, door, ending) = (routes.clone(), door.clone(), ending.clone());
        let going = open.begin();
        async move { Ok::<_, Infallible>(answer(routes, door, ending, going, call).await) }
    });
    let connection = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(stream_bytes)
        .initial_connection_window_size(connection_bytes)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(streams_max)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let wait = tokio::select! {
        result = connection.as_mut() => return result.map_err(|error| error.to_string()),
        // Whoever serves ends the task when its time is over.
        () = tasks.closing() => Duration::MAX,
        () = open.idle(IDLE_MAX) => LAST_WORDS,
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

/// Answers a call: it holds its places, and goes on, until its reply has ended.
async fn answer(
    routes: Routes,
    door: Door,
    ending: Ending,
    going: Going,
    call: http::Request<Incoming>,
) -> http::Response<Body> {
    let limits = limits::of(call.uri().path());
    let mut call = call.map(|body| Body::new(Request::new(body, &ending, limits)));
    let answered = async {
        let place = match &door {
            Door::Device(device) => {
                let caller = device.call(limits.work, &ending).await?;
                let place = Arc::clone(&caller.place);
                drop(call.extensions_mut().insert(caller));
                Some(place)
            }
            Door::Closed(why) if !call.uri().path().starts_with(OPEN_SERVICE) => {
                return Err(why.clone());
            }
            Door::Closed(_) | Door::Operator => None,
        };
        match routes.oneshot(call).await {
            Ok(reply) => Ok(reply.map(|body| Body::new(Reply::new(body, &ending, (place, going))))),
            Err(never) => match never {},
        }
    };
    let answered = tokio::select! {
        biased;
        why = ending.wait() => Err(why),
        answered = answered => answered,
    };
    answered.unwrap_or_else(Status::into_http)
}

impl Device {
    /// Looks once more whether it is known, and finds a place for the call.
    async fn call(&self, work: limits::Work, ending: &Ending) -> Result<Caller, Status> {
        let device = self.identity.admit(self.peer).await?;
        let place = Arc::new(self.place.call(work).await?);
        Ok(Caller { user: device.user, device: device.name, ending: ending.clone(), place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_idle_only_without_calls() {
        const SHORT: Duration = Duration::from_millis(1);
        let open = Open(watch::Sender::new(0).into());
        let going = open.begin();
        let mut idle = Box::pin(open.idle(SHORT));
        timeout(20 * SHORT, &mut idle).await.expect_err("a call goes on");
        drop(going);
        idle.await;
    }
}
