//! Who is who: the daemon's own authority, its server certificate, and how devices get theirs.
//!
//! No certificate of the outside world is ever trusted, and none of ours is trusted outside.
//! Whether a known device may still connect is the store's to say, not the certificate's.

mod authority;
mod fingerprint;
mod pairing;
mod server_certificate;
mod tls;

use thiserror::Error;

pub use authority::Authority;
pub use fingerprint::Fingerprint;
pub use pairing::{Enrolled, INVITATION_VALID, Pairing, PairingError};
pub use tls::{ServerNames, server_config};

use crate::store::StoreError;

/// The daemon's own certificates cannot be used or made.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A file of the authority cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The authority's files do not fit together.
    #[error(
        "authority in {directory} is damaged: {what}; restore the directory from a backup, or remove it and pair every device again"
    )]
    Damaged {
        /// Where it is.
        directory: std::path::PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not accept what was made.
    #[error("cannot use the daemon's certificate")]
    Tls(#[from] rustls::Error),
    /// The kernel gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
}
