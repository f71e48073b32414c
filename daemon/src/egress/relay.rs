//! Carries bytes between a run and a host, after a look at what is said first.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::hello::{self, Beginning, Greeting};
use super::host::{Authority, Host};
use super::notice::{Denial, Reason};

/// What is read at once in each direction: at eight kilobytes, tokio's own choice, system calls cost
/// more than the bytes.
const BUFFER_BYTES: usize = 128 * 1024;

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
pub(super) async fn relay(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut host: TcpStream,
    first: &[u8],
) -> Result<(), RelayError> {
    let carry = async {
        host.write_all(first).await?;
        tokio::io::copy_bidirectional_with_sizes(&mut client, &mut host, BUFFER_BYTES, BUFFER_BYTES)
            .await
    };
    match tokio::time::timeout(TIME_MAX, carry).await {
        Ok(carried) => Ok(carried.map(drop)?),
        Err(_too_long) => Err(RelayError::Io),
    }
}
