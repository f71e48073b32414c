//! A paired daemon, as commands see it: connect, call, understand what went wrong.

pub mod dial;
pub mod enroll;
mod lacking;
mod lacking_mcp;
pub mod ssh;
mod status;

use std::time::Duration;

use handoff_proto::wire::runs_client::RunsClient;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

use self::dial::Dialler;
use crate::settings::RemoteSettings;

pub use lacking_mcp::Lacks;
pub use status::Error;

/// Bytes on the way before the other side must have taken some: fills a fast link with a long
/// round trip without holding a whole snapshot in memory.
const STREAM_WINDOW: u32 = 16 << 20;

/// The same for all calls of a connection together.
const CONNECTION_WINDOW: u32 = 32 << 20;

/// Fewer, larger HTTP/2 frames: a quarter of the work per byte.
const FRAME_SIZE: u32 = 64 << 10;

/// How soon a connection that died silently is noticed.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The largest message taken from a daemon: a list of many thousand runs.
const MESSAGE_MAX: usize = 64 << 20;

/// A connection to a paired daemon. Cloning is cheap; the connection is shared and opened again
/// by itself after it broke.
#[derive(Clone, Debug)]
pub struct Remote {
    name: String,
    channel: Channel,
}

impl Remote {
    /// Connects without TLS, to a daemon of a test.
    #[cfg(test)]
    pub(crate) async fn plain(
        name: &str,
        address: std::net::SocketAddr,
    ) -> Result<Self, tonic::transport::Error> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        Ok(Self { name: name.to_owned(), channel })
    }

    /// What the user calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The calls about runs.
    #[must_use]
    pub fn runs(&self) -> RunsClient<Channel> {
        RunsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// What a failed call means.
    #[must_use]
    pub fn error(&self, status: tonic::Status) -> Error {
        Error::from_status(&self.name, status)
    }
}

/// Connects to a paired remote, which the user calls `name`.
///
/// # Errors
///
/// Where its keys cannot be used or nobody can be reached; see [`Error`].
pub async fn connect(name: &str, settings: &RemoteSettings) -> Result<Remote, Error> {
    let dialler = Dialler::paired(settings)
        .map_err(|source| Error::Credential { remote: name.to_owned(), source })?;
    let channel = open(dialler).await.map_err(|source| Error::from_transport(name, source))?;
    Ok(Remote { name: name.to_owned(), channel })
}

/// Opens a channel over our own TLS connections.
async fn open(dialler: Dialler) -> Result<Channel, tonic::transport::Error> {
    let dial = tower::service_fn(move |_| {
        let dialler = dialler.clone();
        async move { dialler.dial().await.map(TokioIo::new) }
    });
    // The name is never resolved: the dialler knows the addresses.
    Endpoint::from_static("http://handoff")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector(dial)
        .await
}

#[cfg(test)]
mod tests;
