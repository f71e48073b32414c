//! Opens one TLS connection to a daemon: its certificate authority pinned, ours shown.
//!
//! Knows addresses and certificates, nothing of gRPC.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ssh::{self, Destination, SshFailure};
use crate::settings::RemoteSettings;

/// A connection over TCP.
type Dialled = BufReader<TlsStream<BufReader<TcpStream>>>;

/// What is read from the network at once: some TLS records.
const READ_AHEAD_BYTES: usize = 128 << 10;

/// How long one address may take to accept a connection and to finish the handshake.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The protocol that gRPC speaks.
const ALPN_HTTP2: &[u8] = b"h2";

/// A connection to a daemon, whatever it goes through.
pub type Connection = Box<dyn Stream>;

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A daemon's addresses and the keys to it.
#[derive(Clone, Debug)]
pub struct Dialler {
    addresses: Vec<String>,
    tls: Arc<ClientConfig>,
}

/// Our own side of the pairing cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A PEM file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// Certificate, key and authority do not fit or cannot be understood.
    #[error("certificate or key is not valid")]
    Tls(#[from] rustls::Error),
}

/// No address leads to the daemon.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// The settings name no address.
    #[error("no address is known")]
    NoAddress,
    /// The text is no `host:port`.
    #[error("{address:?} is no HOST:PORT")]
    BadAddress {
        /// The text.
        address: String,
    },
    /// Nobody answers.
    #[error("cannot connect to {address}")]
    Tcp {
        /// Where.
        address: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Somebody else answers: the certificate is not from the authority we paired with.
    #[error("{address} is another daemon than the one you paired with")]
    OtherDaemon {
        /// Where.
        address: String,
        /// What is wrong with its certificate.
        source: rustls::Error,
    },
    /// The user's own ssh does not lead there.
    #[error("{address}: {message}")]
    Ssh {
        /// Where, as `ssh://…`.
        address: String,
        /// What kind of failure.
        kind: SshFailure,
        /// In ssh's or the other machine's words.
        message: String,
    },
    /// Who answers does not accept us or speaks another protocol.
    #[error("cannot set up TLS with {address}")]
    Tls {
        /// Where.
        address: String,
        /// Why.
        source: Arc<io::Error>,
    },
}

impl Dialler {
    /// Reads the keys to a paired daemon.
    ///
    /// # Errors
    ///
    /// Where a file is missing or not valid.
    pub fn paired(remote: &RemoteSettings) -> Result<Self, CredentialError> {
        let ca = read_certificates(&remote.ca)?;
        let certificate = read_certificates(&remote.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&remote.key)
            .map_err(|source| CredentialError::Read { path: remote.key.clone(), source })?;
        let tls = trusting(ca)?.with_client_auth_cert(certificate, key)?;
        Ok(Self::new(remote.addresses.clone(), tls))
    }

    /// Trusts one authority and shows no certificate: for pairing.
    ///
    /// # Errors
    ///
    /// Where the authority's certificate is not valid.
    pub fn unpaired(addresses: Vec<String>, ca: Vec<u8>) -> Result<Self, CredentialError> {
        let tls = trusting(vec![CertificateDer::from(ca)])?.with_no_client_auth();
        Ok(Self::new(addresses, tls))
    }

    fn new(addresses: Vec<String>, mut tls: ClientConfig) -> Self {
        tls.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        Self { addresses, tls: Arc::new(tls) }
    }

    /// Tries the addresses in turn until one connects.
    ///
    /// # Errors
    ///
    /// Why the last one failed, or the first where somebody answered.
    pub async fn dial(&self) -> Result<Connection, DialError> {
        let mut failure = DialError::NoAddress;
        for address in &self.addresses {
            if let Some(destination) = Destination::parse(address) {
                return self.dial_ssh(address, &destination).await;
            }
            match timeout(DIAL_TIMEOUT, self.dial_one(address)).await {
                Ok(Ok(stream)) => return Ok(Box::new(stream)),
                Ok(Err(error @ DialError::Tcp { .. })) => failure = error,
                Ok(Err(error)) => return Err(error),
                Err(elapsed) => {
                    let source = Arc::new(elapsed.into());
                    failure = DialError::Tcp { address: address.clone(), source };
                }
            }
        }
        Err(failure)
    }

    /// TLS through the user's own ssh: the daemon's name is that of its machine for itself.
    async fn dial_ssh(
        &self,
        address: &str,
        destination: &Destination,
    ) -> Result<Connection, DialError> {
        let Ok(name) = ServerName::try_from("localhost") else {
            return Err(DialError::BadAddress { address: address.to_owned() });
        };
        let (stream, ssh) = ssh::connect(destination).await?;
        let connecting = async {
            accepted(TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?).await
        };
        match timeout(ssh::dial_timeout(), connecting).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(source)) => match tls_error(address, source) {
                other @ DialError::OtherDaemon { .. } => Err(other),
                // Most likely ssh itself ended; it knows why.
                error => Err(ssh.failure().await.unwrap_or(error)),
            },
            Err(elapsed) => {
                let source = Arc::new(elapsed.into());
                Err(DialError::Tcp { address: address.to_owned(), source })
            }
        }
    }

    async fn dial_one(&self, address: &str) -> Result<Dialled, DialError> {
        let name = server_name(address)
            .ok_or_else(|| DialError::BadAddress { address: address.to_owned() })?;
        let tcp = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            Ok(tcp)
        };
        let tcp = tcp.await.map_err(|source| DialError::Tcp {
            address: address.to_owned(),
            source: Arc::new(source),
        })?;
        let accepted = async {
            // rustls itself reads four kilobytes at a time.
            let tcp = BufReader::with_capacity(READ_AHEAD_BYTES, tcp);
            accepted(TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await?).await
        };
        accepted.await.map_err(|source| tls_error(address, source))
    }
}

/// Waits for the server's first words. In TLS 1.3 it judges our certificate only after our side of
/// the handshake is done; had we spoken by then, the refusal could be lost with the connection.
async fn accepted<S>(stream: TlsStream<S>) -> io::Result<BufReader<TlsStream<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    if stream.fill_buf().await?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(stream)
}

fn trusting(
    ca: Vec<CertificateDer<'static>>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let read = |source| CredentialError::Read { path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(read)?.collect::<Result<_, _>>().map_err(read)
}

fn server_name(address: &str) -> Option<ServerName<'static>> {
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

fn tls_error(address: &str, source: io::Error) -> DialError {
    use CertificateError::{BadSignature, InvalidPurpose, UnknownIssuer};
    let address = address.to_owned();
    let other = match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(
            error
            @ rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature | InvalidPurpose),
        ) => Some(error.clone()),
        _ => None,
    };
    match other {
        Some(source) => DialError::OtherDaemon { address, source },
        None => DialError::Tls { address, source: Arc::new(source) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["box:7420", "127.0.0.1:1", "[::1]:7420", "a.b.example:65535"] {
            assert!(server_name(good).is_some(), "{good}");
        }
        for bad in ["", "box", "box:", "box:http", ":7420", "a b:1", "box:70000"] {
            assert!(server_name(bad).is_none(), "{bad}");
        }
    }
}
