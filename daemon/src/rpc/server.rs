//! The accept loop for devices: TLS, limits, who it is, then HTTP/2 into the services.
//!
//! Takes its listener and its shutdown from outside. Every task that it starts, the handlers of
//! calls included, is tracked and ends with it.

mod connection;
mod ending;
mod tasks;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

use super::identity::{Identity, Peer};
use crate::pki::Fingerprint;

pub(super) use connection::{Door, serve_connection};
pub(super) use ending::Ending;
pub(super) use tasks::Tasks;

/// Connections at a time: some for each device of each user, and a bound on memory.
const CONNECTIONS_MAX: usize = 256;

/// How long TLS may take to come about.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a connection without a certificate lasts: enough to enroll, too short to hoard.
const ANONYMOUS_MAX: Duration = Duration::from_secs(30);

/// What is read from the network at once: some TLS records.
const READ_AHEAD_BYTES: usize = 128 << 10;

/// How long to wait before accepting again when the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    tls: TlsAcceptor,
    routes: Routes,
    identity: Identity,
    tasks: Tasks,
}

/// Serves these services until `shutdown` resolves, then lets calls end for a few seconds.
/// Returns when nothing of it runs any more.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    routes: Routes,
    identity: Identity,
    shutdown: impl Future<Output = ()>,
) {
    let tasks = Tasks::default();
    let shared =
        Shared { tls: tls.into(), routes: routes.prepare(), identity, tasks: tasks.clone() };
    tokio::select! {
        () = accept(&listener, &shared) => {}
        () = shutdown => {}
    }
    drop(listener);
    tasks.end().await;
}

/// Accepts for ever.
async fn accept(listener: &TcpListener, shared: &Shared) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors or the like: what is open goes on, and may end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match places.clone().try_acquire_owned() {
            Ok(place) => shared.start(stream, place),
            Err(_) => tracing::debug!("a connection too many was closed"),
        }
    }
}

impl Shared {
    fn start(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let shared = self.clone();
        self.tasks.spawn(async move {
            if let Err(error) = shared.serve_stream(stream).await {
                tracing::debug!(error, "connection ended");
            }
            drop(place);
        });
    }

    async fn serve_stream(self, stream: TcpStream) -> Result<(), String> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        // rustls itself reads four kilobytes at a time.
        let stream = BufReader::with_capacity(READ_AHEAD_BYTES, stream);
        let stream = tokio::time::timeout(HANDSHAKE_MAX, self.tls.accept(stream))
            .await
            .map_err(|_| "TLS took too long".to_owned())?
            .map_err(|error| error.to_string())?;
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = match certificates.and_then(|chain| chain.first()) {
            Some(certificate) => Peer::Certificate(Fingerprint::of(certificate)),
            None => Peer::Anonymous,
        };
        let door = Door::Devices { identity: self.identity, peer };
        let served = serve_connection(&self.tasks, &self.routes, door, stream);
        match peer {
            Peer::Certificate(_) => served.await,
            Peer::Anonymous => tokio::time::timeout(ANONYMOUS_MAX, served)
                .await
                .unwrap_or_else(|_| Err("not paired in time".to_owned())),
        }
    }
}
