//! Why `handoff` cannot be installed in an agent's interface.

use std::io;
use std::path::{Path, PathBuf};

use super::hooks::HooksError;
use super::trust::TrustError;
use crate::agents::Kind;
use crate::exit::{Exit, chain_text};

/// It cannot be installed or uninstalled.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no home directory.
    #[error("there is no home directory")]
    NoHome,
    /// The agent has no directory.
    #[error("{} has no directory {}", interface.title(), path.display())]
    NoDirectory {
        /// The agent.
        interface: Kind,
        /// Where it should be.
        path: PathBuf,
    },
    /// Our own program cannot be found.
    #[error("cannot tell where this program is")]
    Program(#[source] io::Error),
    /// The path cannot be written into settings.
    #[error("the path {path:?} is no text that settings could hold")]
    Name {
        /// The path.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot change {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file was changed so that our part cannot be told from the rest.
    #[error("cannot take our part out of {path}, which is not valid any more")]
    Mixed {
        /// The file.
        path: PathBuf,
    },
    /// A hook goes only with what cannot go.
    #[error("left the hook in {path} until that is mended")]
    Waits {
        /// The file.
        path: PathBuf,
    },
    /// Something could not be taken away.
    #[error("not all of it could be taken away: {}", named(.0))]
    Stuck(Vec<Self>),
    /// A file has our name and is not ours.
    #[error("{path} is there already and is not of handoff")]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A file of hooks cannot take ours.
    #[error("{path} cannot take the hook: {what}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// Each with its causes.
fn named(errors: &[InstallError]) -> String {
    let errors = errors.iter().map(|error| chain_text(error));
    errors.collect::<Vec<_>>().join("; ")
}

impl InstallError {
    /// The file that it is about, if it is about one.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::Mixed { path }
            | Self::Waits { path }
            | Self::Taken { path }
            | Self::Unfit { path, .. }
            | Self::NoDirectory { path, .. }
            | Self::Name { path } => Some(path),
            Self::NoHome | Self::Program(_) | Self::Stuck(_) => None,
        }
    }

    pub(super) fn hooks(path: PathBuf, error: HooksError) -> Self {
        let what = match &error {
            HooksError::Json(why) => format!("{error}: {why}"),
            HooksError::Shape { .. } => error.to_string(),
        };
        Self::Unfit { path, what }
    }

    pub(super) fn trust(path: PathBuf, error: &TrustError) -> Self {
        Self::Unfit { path, what: error.to_string() }
    }

    /// How the process ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoHome | Self::Program(_) | Self::Name { .. } => Exit::Failed,
            Self::Read { .. } | Self::Write { .. } => Exit::Failed,
            Self::NoDirectory { .. } => Exit::NotFound,
            Self::Taken { .. } | Self::Unfit { .. } => Exit::Conflict,
            Self::Mixed { .. } | Self::Waits { .. } | Self::Stuck(_) => Exit::Conflict,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoHome => Some("set HOME".to_owned()),
            Self::NoDirectory { interface, .. } => Some(format!(
                "start `{}` once, or set {} to its directory",
                interface.name(),
                interface.directory_variable()
            )),
            Self::Name { .. } => Some("move it to a path of ordinary characters".to_owned()),
            Self::Taken { .. } => Some("move it away, then install again".to_owned()),
            Self::Mixed { .. } | Self::Waits { .. } | Self::Stuck(_) => Some(
                "mend what is in the way, then uninstall again: what is not named is gone, and of the rest it is known what is ours"
                    .to_owned(),
            ),
            Self::Unfit { .. } => Some("correct the file, then install again".to_owned()),
            Self::Program(_) | Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}
