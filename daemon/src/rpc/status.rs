//! From the errors of the domain to what a client is told: the one place that knows both.
//!
//! Domain code never sees a gRPC code. Errors are told with their causes; none of them holds a
//! secret.

use handoff_proto::{
    bundle::BundleError,
    frames::UnpackError,
    manifest::ManifestError,
    problem::{Code, Problem},
    run::NameError,
};
use tonic::Status;

use crate::{
    credentials::CredentialError,
    pki::PairingError,
    runs::{
        AgentError, AnswerError, CollectError, CreateError, RemoveError, RoomError, SayError,
        SelectError, SitError, StopError,
    },
    store::{AppendError, BlobError, QuotaExceeded, RevError, StoreError, embedded::EnrollError},
    supervisor::output::ReadError,
    workspace::{CommandMissing, TermsError},
};

/// What a client is told about an error of the domain.
#[derive(Clone, Debug)]
pub struct Refusal(Problem);

/// The status of an error.
pub(super) fn failed(error: impl Into<Refusal>) -> Status {
    error.into().into()
}

impl Refusal {
    /// The run asks for hosts where no run reaches any.
    pub(super) fn no_network() -> Self {
        let message = "runs of this daemon have no network, so no host can be allowed";
        let hint = "leave out --allow-host and [boundary] hosts, or ask the operator to set \
                    [network] default = \"fenced\"";
        Self(Problem::new(Code::Refused, message).with_hint(hint))
    }

    /// The user has as many runs as there may be.
    pub(super) fn too_many_runs(max: usize) -> Self {
        let message = format!("the daemon keeps {max} runs of a user at most");
        Self(Problem::new(Code::Refused, message).with_hint("remove some with `handoff rm`"))
    }
}

const FREE_SPACE: &str = "free space on the daemon's disk, or remove runs with `handoff rm`";

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.0.into_status()
    }
}

/// Says of which kind an error is, and what to do about it.
trait Classify: std::error::Error {
    fn classify(&self) -> (Code, &'static str);
}

/// Gives errors their way to a status; those of other crates through `Refusal` only.
macro_rules! told {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                let (code, hint) = error.classify();
                Self(Problem::new(code, with_causes(&error)).with_hint(hint))
            }
        }
    )+};
}

/// The same for errors of this crate, which become a status directly.
macro_rules! told_directly {
    ($($error:ty),+ $(,)?) => {
        told! { $($error),+ }
        $(impl From<$error> for Status {
            fn from(error: $error) -> Self {
                failed(error)
            }
        })+
    };
}

told! { NameError, ManifestError, BundleError, UnpackError }

told_directly! {
    StoreError, AppendError, BlobError, RevError, PairingError,
    SelectError, CreateError, StopError, CollectError, RemoveError, CommandMissing, ReadError, QuotaExceeded,
    CredentialError, RoomError, AgentError, AnswerError, SayError, SitError,
}

impl Classify for CredentialError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Name(_) | Self::Secret | Self::SignIn(_) => {
                (Code::Usage, "`handoffd credential add --help` tells how")
            }
            Self::Missing(_) => (Code::NotFound, "`handoffd credential ls` lists them"),
            Self::Systemd(_) => (Code::Conflict, "see LoadCredential= in the unit of handoffd"),
            Self::Io { .. } => (Code::Failed, "see the daemon's log"),
        }
    }
}

/// An error with its causes, in one line. A cause that the error already tells is not repeated.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

impl Classify for StoreError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::DiskFull { .. } => (Code::Failed, FREE_SPACE),
            Self::Ambiguous { .. } => (Code::Unreachable, "try again: nothing is done twice"),
            Self::Closed => (Code::Unreachable, "the daemon is stopping: try again"),
            Self::InUse { .. } => (Code::Conflict, ""),
            Self::Database { .. } | Self::Io { .. } | Self::Corrupt { .. } | Self::Newer { .. } => {
                (Code::Failed, "look at the daemon's log")
            }
        }
    }
}

impl Classify for RoomError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Full { .. } => (Code::Failed, FREE_SPACE),
            Self::Unknown(_) => (Code::Failed, "look at the daemon's log"),
        }
    }
}

impl Classify for CollectError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Busy => (Code::Conflict, "try again when no upload and no harvest is going on"),
            Self::Store(error) => error.classify(),
            Self::Needed { .. } | Self::Trees(_) => (Code::Failed, "look at the daemon's log"),
            Self::Originals(_) => {
                (Code::Failed, "everything else is done; mend the cause and collect again")
            }
        }
    }
}

impl Classify for AppendError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Conflict { .. } => (Code::Conflict, "try again"),
            Self::Ambiguous(_) => (Code::Unreachable, "try again: nothing is done twice"),
            Self::TooLarge { .. } => (Code::Usage, "pass fewer arguments or variables"),
            Self::Unavailable(error) => error.classify(),
        }
    }
}

impl Classify for BlobError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Missing { .. } => (Code::NotFound, ""),
            Self::WrongHash { .. } => (Code::Failed, "try again: the upload was damaged"),
            Self::TooLarge { .. } => (Code::Refused, ""),
            Self::Store(error) => error.classify(),
        }
    }
}

impl Classify for RevError {
    fn classify(&self) -> (Code, &'static str) {
        (Code::Usage, "")
    }
}

impl Classify for PairingError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Invitation(EnrollError::Store(error)) | Self::Store(error) => error.classify(),
            Self::Invitation(EnrollError::Unknown | EnrollError::Expired | EnrollError::Used) => {
                (Code::Refused, "")
            }
            Self::Secret { .. } | Self::Request(_) | Self::DeviceName => (Code::Usage, ""),
            Self::Text(_) => (Code::Failed, "list fewer names in [listen] of handoffd.toml"),
            Self::Random(_) => (Code::Failed, ""),
        }
    }
}

impl Classify for SelectError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::NotFound(_) => (Code::NotFound, "`handoff ls --all` lists all runs"),
            Self::NoneHere => (Code::NotFound, "name one, or see `handoff ls --all`"),
            Self::Ambiguous { .. } => (Code::Usage, "write more of it"),
        }
    }
}

impl Classify for CreateError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::NameTaken(_) => (Code::Conflict, "choose another one with --name"),
            Self::Append(error) => error.classify(),
            Self::Random(_) => (Code::Failed, ""),
        }
    }
}

impl Classify for StopError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Finished(_) => (Code::Conflict, ""),
            Self::NotDriven(_) => (Code::Unreachable, ""),
        }
    }
}

impl Classify for AgentError {
    fn classify(&self) -> (Code, &'static str) {
        let hint = match self {
            Self::Unknown(_) => {
                "leave the agent out to run it as a plain command, or update the daemon"
            }
            Self::NoCredential { .. } => "the operator adds one with `handoffd credential add`",
            Self::TooOld { .. } => "update the agent there",
        };
        (Code::Refused, hint)
    }
}

impl Classify for AnswerError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::NothingAsked(_) | Self::Other(_) => {
                (Code::Conflict, "`handoff show` tells what it waits for")
            }
            Self::NeedsText(_) => {
                (Code::Usage, "`handoff answer RUN TEXT`, or `--option N` for one of its choices")
            }
            Self::NeedsPermission(_) => {
                (Code::Usage, "`handoff approve RUN`, or `handoff deny RUN --reason TEXT`")
            }
            Self::NoSuchChoice { .. } | Self::OneChoice(_) => {
                (Code::Usage, "`handoff show` lists the choices")
            }
            Self::TooLong { .. } | Self::Nothing => (Code::Usage, ""),
            Self::NotDriven(_) => (Code::Unreachable, ""),
        }
    }
}

impl Classify for SayError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::NoAgent(_) => {
                (Code::Usage, "only agents that handoff drives can be told something")
            }
            Self::Text(error) => error.classify(),
            Self::NotNow(..) => (Code::Conflict, "try again in a moment"),
            Self::NeverStarted(_) => (Code::Conflict, "hand it off again"),
            Self::Append(error) => error.classify(),
            Self::Store(error) => error.classify(),
            Self::NotDriven(_) => (Code::Unreachable, ""),
        }
    }
}

impl Classify for SitError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::NoTerminal(_) => (
                Code::Usage,
                "`handoff logs -f RUN` follows its output, `handoff say RUN TEXT` tells an agent \
                 something; `handoff --tty COMMAND` gives a command a terminal",
            ),
            Self::Over(_) => (
                Code::Conflict,
                "`handoff logs RUN` prints what it showed, `handoff pull RUN` brings its result",
            ),
            Self::Taken(_) => (
                Code::Conflict,
                "`handoff attach --watch RUN` looks on, `handoff attach --take-over RUN` takes the keyboard",
            ),
            Self::Replaced(_) => (Code::Conflict, ""),
            Self::Full { .. } => (Code::Conflict, "try again when some have left"),
            Self::Supervisor { .. } => (Code::Unreachable, "try again; see the daemon's log"),
            Self::NotDriven(_) => (Code::Unreachable, ""),
        }
    }
}

impl Classify for RemoveError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Unfinished(_) => (Code::Conflict, "stop it first with `handoff stop`"),
            Self::Files(_) => (Code::Failed, "look at the daemon's log"),
            Self::Store(error) => error.classify(),
        }
    }
}

impl Classify for CommandMissing {
    fn classify(&self) -> (Code, &'static str) {
        let code = match self {
            Self::Terms(TermsError::Host(_)) => Code::Usage,
            _ => Code::Refused,
        };
        (code, self.hint())
    }
}

impl Classify for QuotaExceeded {
    fn classify(&self) -> (Code, &'static str) {
        let hint = match self {
            Self::Bytes { .. } | Self::Files { .. } => {
                "remove runs that you no longer need with `handoff rm`, leave files here with \
                 `--exclude GLOB`, or ask the operator of the daemon for more ([store] quota, files)"
            }
            Self::Entries { .. } => {
                "leave files here with `--exclude GLOB`, or ask the operator of the daemon for more \
                 ([store] files)"
            }
        };
        (Code::Refused, hint)
    }
}

impl Classify for ReadError {
    fn classify(&self) -> (Code, &'static str) {
        match self {
            Self::Misplaced { .. } => (Code::Usage, "start from the beginning"),
            Self::Io { .. } | Self::Format { .. } => (Code::Failed, "look at the daemon's log"),
        }
    }
}

impl Classify for NameError {
    fn classify(&self) -> (Code, &'static str) {
        (Code::Usage, "")
    }
}

impl Classify for ManifestError {
    fn classify(&self) -> (Code, &'static str) {
        (Code::Refused, "")
    }
}

impl Classify for BundleError {
    fn classify(&self) -> (Code, &'static str) {
        (Code::Refused, "")
    }
}

impl Classify for UnpackError {
    fn classify(&self) -> (Code, &'static str) {
        (Code::Refused, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: impl Into<Refusal>) -> Problem {
        Problem::from_status(&failed(error))
    }

    #[test]
    fn causes_are_told_once() {
        let inner = StoreError::Io {
            act: "write",
            path: "/var/lib/handoffd/x".into(),
            source: std::io::Error::other("input/output error"),
        };
        let problem = told(AppendError::Unavailable(inner));
        assert_eq!(
            problem.message,
            "events were not stored: cannot write /var/lib/handoffd/x: input/output error"
        );
        assert_eq!(
            (problem.code, problem.hint.as_str()),
            (Code::Failed, "look at the daemon's log")
        );
        let problem = told(BlobError::Store(StoreError::Closed));
        assert_eq!(problem.message, "store is closed");
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let problem = told(StoreError::DiskFull { directory: "/var/lib/handoffd".into() });
        assert!(problem.message.starts_with("disk of /var/lib/handoffd is full"));
        assert_eq!(problem.hint, FREE_SPACE);
        let room =
            RoomError::Full { free_bytes: 1 << 20, needed_bytes: 5 << 20, reserve_bytes: 64 << 20 };
        let problem = told(room);
        assert!(problem.message.starts_with("disk of the daemon is full: 1 MiB are free"));
        assert_eq!(problem.hint, FREE_SPACE);
    }
}
