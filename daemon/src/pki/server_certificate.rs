//! The certificate that this server shows: made at each start, made again before it runs out.
//!
//! Clients trust the authority, so no server key is ever written to disk.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rcgen::KeyPair;
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{Authority, PkiError, ServerNames, authority::LEAF_VALID};

/// A certificate with less time than this left is replaced.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug)]
pub(super) struct ServerCertificate {
    authority: Arc<Authority>,
    names: ServerNames,
    current: RwLock<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    ends: SystemTime,
}

impl ServerCertificate {
    pub(super) fn new(
        authority: Arc<Authority>,
        names: ServerNames,
        now: SystemTime,
    ) -> Result<Self, PkiError> {
        let current = RwLock::new(issue(&authority, &names, now)?);
        Ok(Self { authority, names, current })
    }

    fn at(&self, now: SystemTime) -> Arc<CertifiedKey> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if now + RENEWED_BEFORE_END < current.ends {
            return current.key;
        }
        match issue(&self.authority, &self.names, now) {
            Ok(renewed) => {
                let key = renewed.key.clone();
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
                key
            }
            Err(error) => {
                tracing::error!(%error, "cannot renew the server certificate");
                current.key
            }
        }
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(SystemTime::now()))
    }
}

fn issue(authority: &Authority, names: &ServerNames, now: SystemTime) -> Result<Current, PkiError> {
    let key = KeyPair::generate()?;
    let certificate = authority.sign_server(names.as_slice(), &key, now)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = CertifiedKey::new(vec![certificate], any_supported_type(&key)?);
    Ok(Current { key: Arc::new(key), ends: now + LEAF_VALID })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        let state = tempfile::tempdir().expect("directory");
        let start = SystemTime::now();
        let authority = Arc::new(Authority::open(state.path(), start).expect("authority"));
        let address = "127.0.0.1:1".parse().expect("address");
        let names = ServerNames::new(&[], address);
        let server = ServerCertificate::new(authority, names, start).expect("certificate");
        let first = server.at(start);
        let still = server.at(start + LEAF_VALID - 2 * RENEWED_BEFORE_END);
        assert_eq!(first.cert, still.cert);
        let renewed = server.at(start + LEAF_VALID - RENEWED_BEFORE_END / 2);
        assert_ne!(first.cert, renewed.cert);
        assert_eq!(server.at(start + LEAF_VALID).cert, renewed.cert);
    }
}
