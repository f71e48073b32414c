//! Why a conversation does not come back.

use std::io;
use std::path::PathBuf;

use super::{FORKS_MAX, TRANSCRIPT_BYTES_MAX};

/// A conversation cannot be brought back; what was here is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The id is none that the agent gives.
    #[error("the run returned a session with an impossible name")]
    Name,
    /// There is no transcript where one belongs.
    #[error("the run returned no transcript of session {0}")]
    NoTranscript(String),
    /// The transcript does not begin with what was sent.
    #[error("the run did not only add to the transcript of session {0}")]
    Rewritten(String),
    /// Nothing tells with which settings it could be opened safely.
    #[error("the run's transcript of session {0} says too little to be opened safely")]
    NoSettings(String),
    /// It is larger than any session.
    #[error("the transcript has {0} bytes, the limit is {TRANSCRIPT_BYTES_MAX}")]
    TooLarge(u64),
    /// Every name for a fork is taken.
    #[error("there are {FORKS_MAX} forks of session {0} here that went on by themselves")]
    TooManyForks(String),
    /// It is added to here, again and again.
    #[error("session {0} went on here while it was brought back")]
    Moving(String),
    /// There is no room to work in.
    #[error("cannot keep the conversation while it is looked at")]
    Scratch(#[source] io::Error),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Content that did not arrive.
    #[error("cannot read what arrived of the conversation")]
    Content(#[source] io::Error),
}

impl ImportError {
    /// Whether another pull would meet it again: it is about what the run returned.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Name
            | Self::NoTranscript(_)
            | Self::Rewritten(_)
            | Self::NoSettings(_)
            | Self::TooLarge(_)
            | Self::TooManyForks(_) => true,
            Self::Moving(_)
            | Self::Scratch(_)
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Content(_) => false,
        }
    }
}
