//! Carries bytes between a run and a host, after a look at what is said first.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::carry::carry;
use super::hello::{self, Beginning, Greeting};
use super::host::{Authority, Host};
use super::notice::{Denial, Reason};

/// Longest life of one connection: longer than any run may be asked to take by default.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why nothing was carried.
#[derive(Debug)]
pub(super) enum RelayError {
    /// What was said first is not what the connection was made for.
    Denied(Denial),
    /// The connection broke.
    Io,
}

impl From<io::Error> for RelayError {
    fn from(_broken: io::Error) -> Self {
        Self::Io
    }
}

/// Reads a greeting and checks that it names the host that the connection is made for.
pub(super) async fn greeting_for(
    asked: &Authority,
    client: &mut (impl AsyncRead + Unpin),
) -> Result<Vec<u8>, RelayError> {
    let Beginning { bytes, greeting } = hello::read(client).await?;
    let refused = match (greeting, &asked.host) {
        (Greeting::For(name), host) if name == *host => return Ok(bytes),
        // An address has no name; certificates for addresses exist.
        (Greeting::ForNobody, Host::Address(_)) => return Ok(bytes),
        (Greeting::For(_) | Greeting::ForNobody, _) => Reason::OtherName,
        // A client that thought better of it.
        (Greeting::Other, _) if bytes.is_empty() => return Err(RelayError::Io),
        (Greeting::Other, _) => Reason::NotTls,
    };
    Err(RelayError::Denied(Denial::new(asked, refused)))
}

/// Carries until both sides have said all. `first` are the bytes that were read already.
pub(super) async fn relay(client: TcpStream, mut host: TcpStream, first: &[u8]) -> io::Result<()> {
    let carrying = async {
        host.write_all(first).await?;
        carry(&client, &host).await
    };
    tokio::time::timeout(TIME_MAX, carrying)
        .await
        .unwrap_or_else(|_too_long| Err(io::ErrorKind::TimedOut.into()))
}
