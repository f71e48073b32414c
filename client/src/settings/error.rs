//! Why the settings cannot be used.

use std::io;
use std::path::PathBuf;

use super::{FileError, REMOTE_NAME_LEN_MAX};

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment names no home directory.
    #[error("there is no home directory")]
    NoHome,
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No remote of this name.
    #[error("there is no remote named {name:?}")]
    UnknownRemote {
        /// The name.
        name: String,
        /// The remotes that there are.
        known: Vec<String>,
    },
    /// The name is taken.
    #[error("there is a remote named {name:?} already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name cannot be a remote's.
    #[error(
        "{name:?} cannot name a remote: use 1 to {REMOTE_NAME_LEN_MAX} letters, digits, '.', '_' or '-', starting with a letter or digit"
    )]
    BadName {
        /// The name.
        name: String,
    },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoHome => Some("set HOME".to_owned()),
            Self::File(error) => error.hint(),
            Self::UnknownRemote { known, .. } if known.is_empty() => {
                Some("`handoff remote add NAME INVITATION` pairs one".to_owned())
            }
            Self::UnknownRemote { known, .. } => Some(format!("known: {}", known.join(", "))),
            Self::NameTaken { name } => {
                Some(format!("choose another name, or `handoff remote rm {name}` first"))
            }
            Self::Write { .. } | Self::BadName { .. } => None,
        }
    }
}
