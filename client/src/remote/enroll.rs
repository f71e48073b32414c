//! Pairing: trades a one-time invitation for a certificate.
//!
//! The private key is made here and stays here; the daemon sees a signing request only. The first
//! connection is authentic already, because the invitation brings the daemon's own authority.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use handoff_proto::invitation::Invitation;
use handoff_proto::wire;
use handoff_proto::wire::enrollment_client::EnrollmentClient;
use rcgen::{CertificateParams, KeyPair};

use super::dial::{DialError, Dialler};
use super::{Error, open};
use crate::settings::{self, RemoteSettings, Settings, create_private_directory, write_private};

/// Characters on a line of PEM.
const PEM_LINE: usize = 64;

/// Pairing failed; nothing was added to the settings.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The invitation is too old.
    #[error("the invitation has expired")]
    Expired,
    /// The settings do not take the remote.
    #[error("cannot add remote {name}")]
    Settings {
        /// The remote.
        name: String,
        /// Why.
        source: Box<settings::Error>,
    },
    /// A key or a signing request cannot be made.
    #[error("cannot make a key")]
    Key(#[from] rcgen::Error),
    /// The keys cannot be stored.
    #[error("cannot store the keys in {path}")]
    Store {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon cannot be reached or refuses.
    #[error("cannot pair with {address}")]
    Daemon {
        /// The first of its addresses.
        address: String,
        /// Why.
        source: Box<Error>,
    },
}

impl EnrollError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Expired => {
                Some("ask the operator of the daemon for a new one: `handoffd invite USER`".to_owned())
            }
            Self::Settings { source, .. } => source.hint(),
            Self::Daemon { source, .. } => match **source {
                Error::OtherDaemon { .. } => {
                    Some("ask for a new invitation; this one is from another daemon".to_owned())
                }
                Error::Unreachable { source: DialError::Ssh { .. }, .. } => source.hint(),
                Error::Unreachable { .. } => Some(
                    "check that `handoffd serve` runs there and that this machine may connect to it"
                        .to_owned(),
                ),
                _ => source.hint(),
            },
            Self::Key(_) | Self::Store { .. } => None,
        }
    }
}

/// Pairs with the daemon that made the invitation, and adds it to the settings as `name`; returns
/// what the daemon calls this user.
///
/// # Errors
///
/// See [`EnrollError`]. A failed attempt leaves no keys behind.
pub async fn enroll(
    settings: &mut Settings,
    name: &str,
    invitation: &Invitation,
    now_unix_seconds: u64,
) -> Result<String, EnrollError> {
    let refused =
        |source| EnrollError::Settings { name: name.to_owned(), source: Box::new(source) };
    settings.check_new_remote(name).map_err(refused)?;
    if invitation.expires_unix_seconds <= now_unix_seconds {
        return Err(EnrollError::Expired);
    }
    let key = KeyPair::generate()?;
    let request = CertificateParams::new(Vec::new())?.serialize_request(&key)?.pem()?;
    // The invitation is good for one attempt: find out first whether the keys can be stored.
    let staged = Staged::create(&settings.places.remote(name))?;
    staged.write("key.pem", key.serialize_pem().as_bytes())?;
    staged.write("ca.pem", pem("CERTIFICATE", &invitation.authority).as_bytes())?;

    let reply = ask(name, invitation, request).await.map_err(|source| EnrollError::Daemon {
        address: invitation.addresses.first().cloned().unwrap_or_default(),
        source: Box::new(source),
    })?;

    staged.write("certificate.pem", reply.certificate.as_bytes())?;
    let directory = staged.publish()?;
    let remote = RemoteSettings {
        addresses: invitation.addresses.clone(),
        ca: directory.join("ca.pem"),
        certificate: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
    };
    settings.add_remote(name, remote).map_err(refused)?;
    Ok(reply.user)
}

async fn ask(
    name: &str,
    invitation: &Invitation,
    signing_request: String,
) -> Result<wire::EnrollReply, Error> {
    let dialler = Dialler::unpaired(invitation.addresses.clone(), invitation.authority.clone())
        .map_err(|source| Error::Credential { remote: name.to_owned(), source })?;
    let channel = open(dialler).await.map_err(|source| Error::from_transport(name, source))?;
    let request = wire::EnrollRequest {
        secret: invitation.secret.to_vec(),
        signing_request,
        device: device_name(),
    };
    let reply = EnrollmentClient::new(channel).enroll(request).await;
    reply.map(tonic::Response::into_inner).map_err(|status| Error::from_status(name, status))
}

/// What this machine calls itself.
fn device_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Key files on their way to their place; removed again unless published.
struct Staged {
    directory: tempfile::TempDir,
    target: PathBuf,
}

impl Staged {
    fn create(target: &Path) -> Result<Self, EnrollError> {
        let parent = target.parent().unwrap_or(target);
        let private = std::fs::Permissions::from_mode(0o700);
        let directory = create_private_directory(parent)
            .and_then(|()| tempfile::Builder::new().permissions(private).tempdir_in(parent))
            .map_err(|source| EnrollError::Store { path: parent.to_owned(), source })?;
        Ok(Self { directory, target: target.to_owned() })
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), EnrollError> {
        let path = self.directory.path().join(name);
        write_private(&path, content).map_err(|source| EnrollError::Store { path, source })
    }

    /// Moves the directory to its place; what an earlier remote of that name left there goes.
    fn publish(self) -> Result<PathBuf, EnrollError> {
        let Self { directory, target } = self;
        let publish = || {
            match std::fs::remove_dir_all(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            std::fs::rename(directory.path(), &target)
        };
        publish().map_err(|source| EnrollError::Store { path: target.clone(), source })?;
        // The directory is no longer where it was made.
        drop(directory.keep());
        Ok(target)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for start in (0..text.len()).step_by(PEM_LINE) {
        pem.push_str(&text[start..text.len().min(start + PEM_LINE)]);
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn pem_is_read_back_as_the_same_der() {
        for len in [1, 47, 48, 49, 1000] {
            let der: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let read = CertificateDer::from_pem_slice(pem("CERTIFICATE", &der).as_bytes()).unwrap();
            assert_eq!(read.as_ref(), der);
        }
    }
}
