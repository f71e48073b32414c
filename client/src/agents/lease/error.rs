//! What can be in the way of a lease.

use std::io;
use std::path::PathBuf;

use crate::outbox::OutboxError;

/// What is in the way of a lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The id names no session.
    #[error("{session:?} is no id of a session")]
    Session {
        /// What was given.
        session: String,
    },
    /// Another run holds the session.
    #[error("run {run} on {remote} holds it")]
    Held {
        /// The run's name.
        run: String,
        /// Where it runs.
        remote: String,
    },
    /// A handoff of it is kept here, which no receipt has come for.
    #[error("run {run}, which is not on {remote} yet, holds it")]
    Unsent {
        /// What the run is called.
        run: String,
        /// Where it goes.
        remote: String,
    },
    /// Another process does not let go of the leases.
    #[error("another process keeps {path} locked")]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// What waits to be sent cannot be read.
    #[error("cannot tell what waits to be sent")]
    Outbox(#[source] Box<OutboxError>),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LeaseError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { path } => {
                Some(format!("`fuser {}` names the process; end it if it hangs", path.display()))
            }
            Self::Outbox(source) => source.hint(),
            Self::Session { .. }
            | Self::Held { .. }
            | Self::Unsent { .. }
            | Self::Read { .. }
            | Self::Write { .. } => None,
        }
    }
}
