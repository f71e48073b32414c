//! TLS as this server speaks it: its own authority only, client certificates optional.
//!
//! A client without a certificate gets through TLS, so that it can enroll; one with a certificate
//! of another authority does not.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use rustls::{
    RootCertStore, ServerConfig, crypto::ring::default_provider, server::WebPkiClientVerifier,
};

use super::{Authority, PkiError, server_certificate::ServerCertificate};

/// The names under which this server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames(Vec<String>);

impl ServerNames {
    /// The names of the settings, those of this machine for itself, and the address listened on.
    #[must_use]
    pub fn new(configured: &[String], address: SocketAddr) -> Self {
        let mut names = configured.to_vec();
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        let mut unique = Vec::with_capacity(names.len());
        for name in names {
            if !unique.contains(&name) {
                unique.push(name);
            }
        }
        Self(unique)
    }

    pub(super) fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// The server's side of TLS, HTTP/2 only.
///
/// # Errors
/// When no certificate can be made.
pub fn server_config(
    authority: &Arc<Authority>,
    names: ServerNames,
    now: SystemTime,
) -> Result<Arc<ServerConfig>, PkiError> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let certificate = ServerCertificate::new(authority.clone(), names, now)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_to_its_settings_its_address_and_this_machine() {
        let configured = ["box.example.com".to_owned(), "127.0.0.1".to_owned()];
        let names = ServerNames::new(&configured, "10.0.0.7:7420".parse().expect("address"));
        let expected = ["box.example.com", "127.0.0.1", "10.0.0.7", "localhost", "::1"];
        assert_eq!(names.as_slice(), expected);
        let names = ServerNames::new(&[], "0.0.0.0:7420".parse().expect("address"));
        assert_eq!(names.as_slice(), ["localhost", "127.0.0.1", "::1"]);
    }
}
