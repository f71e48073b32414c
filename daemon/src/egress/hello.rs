//! The first bytes of a connection: if they are a TLS greeting, whom it is for. Keeps them all, to
//! be passed on as they came.

use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::host::Host;

/// Longest greeting. Those with post-quantum keys and session tickets have two kilobytes.
const HELLO_MAX: usize = 32 * 1024;

/// How long a client may take to send it.
const HELLO_TIME_MAX: Duration = Duration::from_secs(20);

/// The first byte of a TLS record that holds a greeting (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// What a connection begins with.
#[derive(Debug)]
pub(super) struct Beginning {
    /// Everything that was read.
    pub(super) bytes: Vec<u8>,
    /// What it is.
    pub(super) greeting: Greeting,
}

/// What the first bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// TLS, for the host of this name.
    For(Host),
    /// TLS that names nobody, as for an address.
    ForNobody,
    /// No TLS that could be understood.
    Other,
}

/// Reads until it is clear whom the greeting is for, or that it is none.
///
/// # Errors
///
/// When the connection breaks or the client takes too long.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Beginning> {
    let mut bytes = Vec::new();
    let mut acceptor = Acceptor::default();
    let reading = async {
        loop {
            let before = bytes.len();
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok::<_, io::Error>(Greeting::Other);
            }
            if let Some(greeting) = feed(&mut acceptor, &bytes[before..], bytes[0]) {
                return Ok(greeting);
            }
            if bytes.len() > HELLO_MAX {
                return Ok(Greeting::Other);
            }
        }
    };
    let greeting = tokio::time::timeout(HELLO_TIME_MAX, reading)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    Ok(Beginning { bytes, greeting })
}

/// Looks at more bytes; nothing means that still more are needed.
fn feed(acceptor: &mut Acceptor, mut more: &[u8], first: u8) -> Option<Greeting> {
    if first != HANDSHAKE {
        return Some(Greeting::Other);
    }
    while !more.is_empty() {
        if !acceptor.read_tls(&mut more).is_ok_and(|read| read > 0) {
            return Some(Greeting::Other);
        }
    }
    match acceptor.accept() {
        Ok(None) => None,
        Ok(Some(accepted)) => Some(match accepted.client_hello().server_name() {
            None => Greeting::ForNobody,
            Some(name) => name.parse().map_or(Greeting::Other, Greeting::For),
        }),
        Err(_not_tls) => Some(Greeting::Other),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// What a TLS client of ours says first.
    pub(in crate::egress) fn greeting(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("write");
        bytes
    }

    fn read_all(bytes: &[u8]) -> Beginning {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(read(&mut &*bytes)).expect("read")
    }

    #[test]
    fn a_greeting_tells_whom_it_is_for() {
        let bytes = greeting("Allowed.test");
        let beginning = read_all(&bytes);
        assert_eq!(beginning.greeting, Greeting::For("allowed.test".parse().expect("a host")));
        assert_eq!(beginning.bytes, bytes);
        assert_eq!(read_all(&greeting("192.0.2.1")).greeting, Greeting::ForNobody);
    }

    #[test]
    fn what_is_no_greeting_is_passed_over() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", b"", &[HANDSHAKE; 64]] {
            assert_eq!(read_all(bytes).greeting, Greeting::Other, "{bytes:?}");
        }
        let whole = greeting("allowed.test");
        assert_eq!(read_all(&whole[..whole.len() - 1]).greeting, Greeting::Other, "cut short");
    }

    proptest! {
        /// Whatever comes, there is an answer, and what was read is kept as it came.
        #[test]
        fn mutated_greetings_are_judged(at in 0..200_usize, byte: u8, cut in 0..300_usize) {
            let mut bytes = greeting("allowed.test");
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut.min(length));
            let beginning = read_all(&bytes);
            prop_assert!(bytes.starts_with(&beginning.bytes));
        }
    }
}
