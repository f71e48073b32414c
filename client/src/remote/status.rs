//! The one place that reads gRPC statuses and transport errors.
//!
//! A status either carries the daemon's own words, or says that the connection failed; the
//! difference decides whether trying again makes sense.

use std::error::Error as StdError;
use std::io;

use handoff_proto::problem::{Code as ProblemCode, Problem};
use rustls::AlertDescription;
use tonic::Status;

use super::dial::{CredentialError, DialError};
use crate::wording::one_line;

/// What a remote could not do for us.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keys to the remote cannot be used.
    #[error("cannot use the keys to remote {remote}")]
    Credential {
        /// The remote.
        remote: String,
        /// What is wrong with them.
        source: CredentialError,
    },
    /// Nobody answers at any address.
    #[error("cannot reach remote {remote}")]
    Unreachable {
        /// The remote.
        remote: String,
        /// Why.
        source: DialError,
    },
    /// Somebody else answers.
    #[error("cannot trust remote {remote}")]
    OtherDaemon {
        /// The remote.
        remote: String,
        /// Why.
        source: DialError,
    },
    /// The daemon does not accept our certificate (any more).
    #[error(
        "remote {remote} does not accept this device's certificate: it was revoked or has expired"
    )]
    NotAccepted {
        /// The remote.
        remote: String,
        /// The daemon's alert.
        #[source]
        source: rustls::Error,
    },
    /// The daemon does not know this device (any more), and says so call by call.
    #[error("remote {remote} does not let this device in: {}", problem.message)]
    ShutOut {
        /// The remote.
        remote: String,
        /// In its own words.
        problem: Box<Problem>,
    },
    /// The connection broke during a call.
    #[error("the connection to remote {remote} broke: {how}")]
    Broken {
        /// The remote.
        remote: String,
        /// What lies at the bottom of it.
        how: String,
    },
    /// The daemon said no.
    #[error("{}", problem.message)]
    Refused {
        /// The remote.
        remote: String,
        /// In its own words.
        problem: Box<Problem>,
    },
    /// The daemon does what no daemon of ours does.
    #[error("remote {remote} broke the protocol: {what}")]
    Protocol {
        /// The remote.
        remote: String,
        /// What it did.
        what: String,
    },
}

/// Longest message or hint of a remote, in characters.
const WORDS_MAX: usize = 4096;

impl Error {
    /// What a failed call means.
    pub(super) fn from_status(remote: &str, status: Status) -> Self {
        if let Some(source) = certificate_alert(&status) {
            return Self::NotAccepted { remote: remote.to_owned(), source };
        }
        if let Some(source) = find::<DialError>(&status) {
            // The connection had to be opened anew and could not be.
            return Self::from_dial(remote, source.clone());
        }
        // A status that the daemon sent has no source: only our own side attaches one.
        if status.source().is_some() {
            return Self::Broken { remote: remote.to_owned(), how: bottom(&status) };
        }
        let mut problem = Problem::from_status(&status);
        if problem.message.is_empty() {
            // gRPC itself gives no words, for example about a call that an older daemon lacks.
            problem.message = format!("remote {remote} answers: {}", status.code());
        }
        // Whatever it says, it is one line each.
        problem.message = one_line(&problem.message, WORDS_MAX);
        problem.hint = one_line(&problem.hint, WORDS_MAX);
        let (remote, problem) = (remote.to_owned(), Box::new(problem));
        match status.code() {
            tonic::Code::Unauthenticated => Self::ShutOut { remote, problem },
            _ => Self::Refused { remote, problem },
        }
    }

    /// What a connection that could not be opened means.
    pub(super) fn from_transport(remote: &str, error: tonic::transport::Error) -> Self {
        if let Some(source) = certificate_alert(&error) {
            return Self::NotAccepted { remote: remote.to_owned(), source };
        }
        match find::<DialError>(&error) {
            Some(source) => Self::from_dial(remote, source.clone()),
            None => Self::Broken { remote: remote.to_owned(), how: bottom(&error) },
        }
    }

    fn from_dial(remote: &str, source: DialError) -> Self {
        let remote = remote.to_owned();
        match source {
            DialError::OtherDaemon { .. } => Self::OtherDaemon { remote, source },
            DialError::NoAddress
            | DialError::BadAddress { .. }
            | DialError::Tcp { .. }
            | DialError::Ssh { .. }
            | DialError::Tls { .. } => Self::Unreachable { remote, source },
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Credential { remote, .. }
            | Self::NotAccepted { remote, .. }
            | Self::ShutOut { remote, .. }
            | Self::OtherDaemon { remote, .. } => Some(format!(
                "pair again: `handoff remote rm {remote}`, then `handoff remote add {remote} INVITATION` with a new invitation from its operator"
            )),
            Self::Unreachable { source: DialError::Ssh { kind, .. }, .. } => Some(kind.hint()),
            Self::Unreachable { remote, .. } => Some(format!(
                "check that `handoffd serve` runs there and that this machine may connect to it; `handoff remote ls` shows the addresses of {remote}"
            )),
            Self::Broken { .. } => {
                Some("try again; nothing that was acknowledged is lost".to_owned())
            }
            Self::Refused { problem, .. } => {
                Some(problem.hint.clone()).filter(|hint| !hint.is_empty())
            }
            Self::Protocol { .. } => {
                Some("upgrade whichever of handoff and handoffd is older".to_owned())
            }
        }
    }

    /// Whether the same call may well succeed in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Broken { .. } => true,
            Self::Unreachable { source, .. } => {
                use super::ssh::SshFailure::Unreachable;
                matches!(
                    source,
                    DialError::Tcp { .. }
                        | DialError::Tls { .. }
                        | DialError::Ssh { kind: Unreachable, .. }
                )
            }
            Self::Refused { problem, .. } => problem.code == ProblemCode::Unreachable,
            Self::Credential { .. }
            | Self::OtherDaemon { .. }
            | Self::NotAccepted { .. }
            | Self::ShutOut { .. }
            | Self::Protocol { .. } => false,
        }
    }

    /// Whether the daemon will have nothing to do with this device until it is paired again.
    #[must_use]
    pub fn is_shut_out(&self) -> bool {
        matches!(self, Self::NotAccepted { .. } | Self::ShutOut { .. })
    }

    /// The daemon's own reason, if it gave one.
    #[must_use]
    pub fn problem_code(&self) -> Option<ProblemCode> {
        match self {
            Self::Refused { problem, .. } | Self::ShutOut { problem, .. } => Some(problem.code),
            _ => None,
        }
    }
}

/// Alerts by which a TLS server refuses a client's certificate.
const REFUSALS: [AlertDescription; 9] = [
    AlertDescription::AccessDenied,
    AlertDescription::BadCertificate,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateRequired,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateUnknown,
    AlertDescription::DecryptError,
    AlertDescription::UnknownCA,
    AlertDescription::UnsupportedCertificate,
];

/// The daemon's TLS alert about our certificate, wherever in the chain it hides.
///
/// In TLS 1.3 it comes only after our side of the handshake is done, so that HTTP/2 is the first to
/// see it, which keeps no more of it than its words.
fn certificate_alert(error: &(dyn StdError + 'static)) -> Option<rustls::Error> {
    let alerts = || REFUSALS.into_iter().map(rustls::Error::AlertReceived);
    causes(error).find_map(|cause| {
        let shared = || cause.downcast_ref::<std::sync::Arc<io::Error>>().map(AsRef::as_ref);
        let told = match cause.downcast_ref::<io::Error>().or_else(shared) {
            Some(error) => error.get_ref()?.to_string(),
            None => cause.downcast_ref::<rustls::Error>()?.to_string(),
        };
        alerts().find(|alert| alert.to_string() == told)
    })
}

/// The innermost cause: the layers above it only say that they failed, too.
fn bottom(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(<dyn StdError>::downcast_ref)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}
