//! The accept loop for devices: TLS, who it is, a place, then HTTP/2 into the services.
//!
//! Takes its listener and its shutdown from outside. Every task that it starts, the handlers of
//! calls included, is tracked and ends with it.

mod connection;
mod ending;
mod limits;
mod places;
mod request;
mod tasks;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

use super::identity::{Identity, Peer};
use crate::pki::Fingerprint;
use connection::Device;
use places::{Places, Stranger};

pub(super) use connection::{Door, serve_connection};
pub(super) use ending::Ending;
pub(super) use places::Call;
pub(super) use tasks::Tasks;

/// How long TLS may take to come about.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a stranger's connection lasts: enough to enroll, too short to hoard.
const STRANGER_MAX: Duration = Duration::from_secs(30);

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
    places: Places,
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
    let shared = Shared {
        tls: tls.into(),
        routes: routes.prepare(),
        identity,
        places: Places::default(),
        tasks: tasks.clone(),
    };
    tokio::select! {
        () = accept(&listener, &shared) => {}
        () = shutdown => {}
    }
    drop(listener);
    tasks.end().await;
}

/// Accepts for ever.
async fn accept(listener: &TcpListener, shared: &Shared) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => shared.start(stream, shared.places.stranger()),
            Err(error) => {
                // Out of descriptors or the like: what is open goes on, and may end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Shared {
    fn start(&self, stream: TcpStream, stranger: Stranger) {
        let shared = self.clone();
        self.tasks.spawn(async move {
            if let Err(error) = shared.serve_stream(stream, stranger).await {
                tracing::debug!(error, "connection ended");
            }
        });
    }

    async fn serve_stream(self, stream: TcpStream, stranger: Stranger) -> Result<(), String> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        // rustls itself reads four kilobytes at a time.
        let stream = BufReader::with_capacity(READ_AHEAD_BYTES, stream);
        let stream = tokio::select! {
            accepted = tokio::time::timeout(HANDSHAKE_MAX, self.tls.accept(stream)) => {
                accepted.map_err(|_| "TLS took too long".to_owned())?
            }
            () = stranger.needed() => return Err("made room for somebody newer".to_owned()),
        };
        let stream = stream.map_err(|error| error.to_string())?;
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = match certificates.and_then(|chain| chain.first()) {
            Some(certificate) => Peer::Certificate(Fingerprint::of(certificate)),
            None => Peer::Anonymous,
        };
        let door = self.door(peer).await;
        let is_known = matches!(door, Door::Device(_));
        let served = serve_connection(&self.tasks, &self.routes, door, stream);
        if is_known {
            drop(stranger);
            return served.await;
        }
        tokio::select! {
            ended = tokio::time::timeout(STRANGER_MAX, served) => {
                ended.unwrap_or_else(|_| Err("not paired in time".to_owned()))
            }
            () = stranger.needed() => Err("made room for somebody newer".to_owned()),
        }
    }

    /// Where a peer comes through: who is not known, or has too much already, is told so.
    async fn door(&self, peer: Peer) -> Door {
        let device = match self.identity.admit(peer).await {
            Ok(device) => device,
            Err(status) => return Door::Closed(status),
        };
        match self.places.connection(&device.user) {
            Ok(place) => {
                let identity = self.identity.clone();
                Door::Device(Device { identity, peer, place: place.into() })
            }
            Err(status) => Door::Closed(status),
        }
    }
}
