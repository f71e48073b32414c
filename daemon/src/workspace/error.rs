//! Why a run's directory cannot be filled.

use std::io;
use std::path::PathBuf;

use handoff_proto::tree::FileError;
use thiserror::Error;

use super::remove::RemoveError;
use super::terms::TermsError;

/// A part of a run's directory cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// The contract cannot be kept.
    #[error("contract cannot be kept")]
    Terms(#[from] TermsError),
    /// No room; everything that was written is removed again.
    #[error(
        "disk of {} is full: the workspace needs {needed_bytes} bytes; free some space there and try again",
        directory.display()
    )]
    DiskFull {
        /// The run's directory.
        directory: PathBuf,
        /// The sum of the sizes of the tree's files.
        needed_bytes: u64,
    },
    /// Something of the tree cannot be written, or a chunk of it not be read.
    #[error("cannot write the workspace")]
    Tree(#[from] FileError),
    /// The snapshot's manifest cannot be read.
    #[error("cannot read the snapshot")]
    Snapshot(#[source] crate::store::BlobError),
    /// The snapshot's manifest is damaged.
    #[error("snapshot is damaged")]
    Manifest(#[from] handoff_proto::manifest::ManifestError),
    /// A directory or file of ours.
    #[error("cannot make {}", path.display())]
    Make {
        /// What.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Files cannot be given to the run, or taken back.
    #[error("cannot change the owner of the run's files")]
    Owner(#[source] handoff_sandbox::Refusal),
    /// What an earlier attempt left cannot be removed.
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

impl WorkspaceError {
    /// Names what could not be made.
    pub(super) fn make(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Make { path: path.into(), source }
    }
}
