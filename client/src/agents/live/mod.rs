//! Whether a session is open on this machine, and whether its agent is in the middle of a turn.
//!
//! Looks at what the agents themselves leave: nothing is asked of them and nothing is written. A
//! turn has begun when its prompt is in the transcript, so that the prompt whose hook is asking is
//! not taken for a turn of its own.

mod claude;
mod codex;
pub(super) mod tail;

use std::io;
use std::path::Path;

use super::Kind;

/// Who has a session open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// Nobody.
    Free,
    /// A process, which waits for its user.
    Idle {
        /// The process, where that can be told.
        pid: Option<u32>,
    },
    /// A background process that nobody's interface is connected to: it reads the transcript anew
    /// when somebody opens the session again.
    Loaded {
        /// The process.
        pid: u32,
    },
    /// A process, in the middle of a turn: the transcript is not complete.
    Busy {
        /// The process, where that can be told.
        pid: Option<u32>,
    },
}

impl Live {
    /// Whether an interface shows the session, which would go on from what it shows, whatever its
    /// file holds by then.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Free | Self::Loaded { .. } => false,
            Self::Idle { .. } | Self::Busy { .. } => true,
        }
    }
}

impl Kind {
    /// Who has a session open; `directory` is where the agent keeps its sessions.
    ///
    /// # Errors
    ///
    /// Where that cannot be looked at.
    pub fn holder(self, directory: &Path, session: &str) -> io::Result<Live> {
        match self {
            Self::Claude => claude::holder(directory, session),
            Self::Codex => codex::holder(directory, session),
        }
    }
}

/// The entries of a directory; none where there is no such directory.
fn entries(directory: &Path) -> io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
