//! What can go wrong with files, always with the path.

use std::io;

use crate::path::{PathError, TreePath};

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused.
    #[error("{action} `{path}`")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The escaped path, `.` for the root.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A component of the path is a symbolic link, or a mount point beneath a tree that is written.
    #[error("`{path}` is reached through a symbolic link or a mount point")]
    Indirect {
        /// The escaped path.
        path: String,
    },
    /// Something else is where a regular file was expected.
    #[error("`{path}` is no regular file")]
    NotRegular {
        /// The escaped path.
        path: String,
    },
    /// More than the caller wants to hold.
    #[error("`{path}` is larger than {max} bytes")]
    TooLarge {
        /// The escaped path.
        path: String,
        /// The limit in bytes.
        max: u64,
    },
    /// The size changed while the file was read.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The escaped path.
        path: String,
    },
    /// The content could not be had; nothing is wrong with the file.
    #[error("read the content of `{path}`")]
    Content {
        /// The escaped path.
        path: String,
        /// The reader's reason.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    /// Whether the path does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Turns errors of system calls into ones that name the path.
pub(super) trait AtPath<T> {
    fn at(self, action: &'static str, path: Option<&TreePath>) -> Result<T, FileError>;
}

impl<T> AtPath<T> for rustix::io::Result<T> {
    fn at(self, action: &'static str, path: Option<&TreePath>) -> Result<T, FileError> {
        use rustix::io::Errno;
        self.map_err(|errno| {
            let path = path.map_or_else(|| ".".to_owned(), TreePath::to_string);
            match errno {
                // What openat2 and O_NOFOLLOW say about links, and openat2 about mounts.
                Errno::LOOP | Errno::XDEV => FileError::Indirect { path },
                _ => FileError::Io { action, path, source: errno.into() },
            }
        })
    }
}

/// How many refusals are named in one error.
pub(super) const REFUSALS_MAX: usize = 20;

/// Why a tree cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// Things that cannot be carried and that no rule leaves out.
    #[error("{}", shown_refusals(refused, *more))]
    Refused {
        /// The first twenty.
        refused: Vec<Refusal>,
        /// How many there are besides.
        more: usize,
    },
    /// A directory or its content could not be looked at.
    #[error(transparent)]
    File(#[from] FileError),
    /// The caller could not say what a repository tracks.
    #[error("list the tracked files of `{repository}`")]
    Tracked {
        /// The escaped path of the repository, `.` for the root.
        repository: String,
        /// The caller's reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One thing that cannot be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The escaped path.
    pub path: String,
    /// Why.
    pub reason: RefusalReason,
}

/// Why something cannot be carried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// A Unix socket.
    #[error("is a socket")]
    Socket,
    /// A named pipe.
    #[error("is a named pipe")]
    Fifo,
    /// A block or character device.
    #[error("is a device")]
    Device,
    /// Its content may not be read by this user.
    #[error("cannot be read")]
    Unreadable,
    /// Its path breaks a rule, most likely it is too long.
    #[error("has an unusable path: {0}")]
    Path(#[source] PathError),
}

fn shown_refusals(refused: &[Refusal], more: usize) -> String {
    let mut text = String::new();
    for Refusal { path, reason } in refused {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&format!("`{path}` {reason}"));
    }
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}
