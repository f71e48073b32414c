//! What can go wrong with handoffs that no receipt has come for.

use std::io;
use std::path::PathBuf;

use indicatif::DecimalBytes;

use crate::agents::AgentError;
use crate::capture::{CaptureError, ChangedSince, GitError};

/// An entry cannot be kept, read or sent.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written or removed.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not whole, after a power cut, or another version's.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The disk cannot hold the content.
    #[error(
        "{path} has no room for the content: it may need {}, {} are free",
        DecimalBytes(*.needed),
        DecimalBytes(*.free)
    )]
    NoRoom {
        /// Where it should go.
        path: PathBuf,
        /// Bytes that must be free.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The session that goes along cannot be found again.
    #[error("cannot read the session of run {name} again")]
    Session {
        /// The run's name.
        name: String,
        /// Why.
        source: AgentError,
    },
    /// Another process is sending it.
    #[error("run {name} is being sent by another process")]
    Busy {
        /// The run's name.
        name: String,
    },
    /// The run is not on its remote yet.
    #[error("run {name} is not on remote {remote} yet")]
    StillSending {
        /// The run's name.
        name: String,
        /// The remote.
        remote: String,
    },
    /// No entry or several are meant.
    #[error("{message}")]
    Selection {
        /// What was asked for and what there is.
        message: String,
        /// Whether there are several.
        ambiguous: bool,
    },
    /// The remote is another daemon than the one it was meant for.
    #[error("remote {remote} is another daemon than when run {name} was handed off")]
    OtherDaemon {
        /// The run's name.
        name: String,
        /// The remote.
        remote: String,
    },
    /// The tree is no longer what was captured.
    #[error("cannot send run {name} as it was captured")]
    Changed {
        /// The run's name.
        name: String,
        /// What changed.
        source: ChangedSince,
    },
    /// The tree cannot be read again.
    #[error("cannot read the tree of run {name} again")]
    Capture {
        /// The run's name.
        name: String,
        /// Why.
        source: Box<CaptureError>,
    },
    /// Git's settings cannot be read.
    #[error("cannot read git's settings")]
    Git(#[from] GitError),
    /// The work was given up because the program ends.
    #[error("reading was interrupted")]
    Interrupted,
}

impl OutboxError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Changed { name, .. } => Some(format!(
                "hand the command off again, which takes the tree as it is now; `handoff rm {name}` drops this one"
            )),
            Self::OtherDaemon { name, .. } => {
                Some(format!("hand the command off again; `handoff rm {name}` drops this one"))
            }
            Self::StillSending { name, .. } => Some(format!(
                "`handoff resume-upload {name}` sends it, `handoff rm {name}` drops it"
            )),
            Self::Busy { .. } => Some("`handoff ls` shows when it is done".to_owned()),
            Self::Damaged { path } => Some(format!(
                "hand the command off again; nothing was promised about this one: remove {}",
                path.parent().unwrap_or(path).display()
            )),
            Self::NoRoom { .. } => Some("free some space".to_owned()),
            Self::Session { source, .. } => source.hint(),
            Self::Selection { .. } => Some("`handoff ls --all` lists them".to_owned()),
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Capture { .. }
            | Self::Git(_)
            | Self::Interrupted => None,
        }
    }
}

/// A handoff was not sent, and is kept.
#[derive(Debug, thiserror::Error)]
#[error("run {name} is kept here and not on {remote} yet, so it is not safe to disconnect")]
pub struct NotSent {
    /// The run's name.
    pub name: String,
    /// The remote.
    pub remote: String,
    /// Why its content is in the tree only, if it is.
    pub not_set_aside: Option<String>,
    /// Why it was not sent.
    #[source]
    pub source: anyhow::Error,
}

impl NotSent {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        let Self { name, remote, not_set_aside, .. } = self;
        let tree = match not_set_aside {
            None => String::new(),
            Some(why) => format!("leave the tree as it is until it is sent: {why}; "),
        };
        format!(
            "{tree}it is sent when {remote} is back, by the notifier or by `handoff resume-upload {name}`; `handoff rm {name}` drops it"
        )
    }
}
