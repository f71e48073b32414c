//! Why a tree cannot be captured.

use std::io;
use std::path::PathBuf;

use handoff_proto::manifest::ManifestError;
use handoff_proto::path::AbsolutePath;
use handoff_proto::tree::WalkError;

use super::{
    ATTEMPTS, LayoutError, LockError, ReadError, RepositoryError, SessionError, Unsupported,
};

/// The tree cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// No sandbox can show the tree at its path.
    #[error("{root} lies beneath /{top}, which belongs to the sandbox's own system")]
    Reserved {
        /// The root.
        root: AbsolutePath,
        /// The directory at the top.
        top: String,
    },
    /// The root cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something cannot be listed or carried.
    #[error("cannot capture {root}")]
    Walk {
        /// The root.
        root: AbsolutePath,
        /// Why.
        source: WalkError,
    },
    /// git is at work.
    #[error("cannot capture a repository while git changes it")]
    Locked(#[source] LockError),
    /// A repository cannot be understood.
    #[error("cannot capture the state of a repository")]
    Repository(#[source] RepositoryError),
    /// A repository has a layout that is not carried.
    #[error(transparent)]
    Unsupported(Unsupported),
    /// A git directory cannot be carried.
    #[error("cannot capture a repository")]
    Layout(#[source] LayoutError),
    /// An agent's files cannot be read.
    #[error("cannot capture the session")]
    Session(#[source] SessionError),
    /// A file cannot be read.
    #[error("cannot capture {root}")]
    Read {
        /// The root.
        root: AbsolutePath,
        /// Why.
        source: ReadError,
    },
    /// Files or references come and go all the time.
    #[error("{root} changes all the time: it changed {ATTEMPTS} times while it was captured")]
    Unsettled {
        /// The root.
        root: AbsolutePath,
    },
    /// The tree breaks a rule of snapshots.
    #[error("{root} cannot be a snapshot")]
    Manifest {
        /// The root.
        root: AbsolutePath,
        /// The rule.
        source: ManifestError,
    },
}

impl CaptureError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Reserved { .. } => "move the tree, for example beneath your home directory",
            Self::Walk { source: WalkError::Refused { .. }, .. } => {
                "remove them, or leave them out with `--exclude GLOB` or a `.handoffignore` file"
            }
            Self::Locked(LockError::Held { .. }) => {
                "wait until git is done; if no git is at work, remove that file"
            }
            Self::Read { source: ReadError::Changing { .. }, .. } | Self::Unsettled { .. } => {
                "stop what writes there, or leave it out with `--exclude GLOB`"
            }
            Self::Unsupported(layout) => return Some(layout.hint()),
            Self::Session(source) => return source.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
