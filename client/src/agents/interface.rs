//! What each agent's own user interface is called, where it keeps its files, and what its user types.

use std::path::{Path, PathBuf};

use super::Kind;

impl Kind {
    /// What its user calls it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Claude => "Claude Code",
            Self::Codex => "Codex",
        }
    }

    /// The variable that names another directory than the usual one.
    #[must_use]
    pub const fn directory_variable(self) -> &'static str {
        match self {
            Self::Claude => "CLAUDE_CONFIG_DIR",
            Self::Codex => "CODEX_HOME",
        }
    }

    /// Where it keeps its settings and sessions; none without a home directory.
    #[must_use]
    pub fn place(self) -> Option<PathBuf> {
        Some(self.place_in(directories::BaseDirs::new()?.home_dir()))
    }

    /// The same for a user with this home directory.
    pub(super) fn place_in(self, home: &Path) -> PathBuf {
        let set = std::env::var_os(self.directory_variable()).filter(|value| !value.is_empty());
        let usual = match self {
            Self::Claude => ".claude",
            Self::Codex => ".codex",
        };
        set.map_or_else(|| home.join(usual), PathBuf::from)
    }

    /// The command that opens a session again, word by word.
    #[must_use]
    pub fn resume(self, session: &str) -> Vec<String> {
        let words = match self {
            Self::Claude => ["claude", "--resume", session],
            Self::Codex => ["codex", "resume", session],
        };
        words.map(str::to_owned).to_vec()
    }

    /// The same as a line.
    #[must_use]
    pub fn resume_command(self, session: &str) -> String {
        self.resume(session).join(" ")
    }

    /// The command that goes on with a copy of a session under an id of its own.
    #[must_use]
    pub fn fork_command(self, session: &str) -> String {
        match self {
            Self::Claude => format!("claude --resume {session} --fork-session"),
            Self::Codex => format!("codex fork {session}"),
        }
    }

    /// What its user types to leave it.
    #[must_use]
    pub const fn leave_command(self) -> &'static str {
        match self {
            Self::Claude => "/exit",
            Self::Codex => "/quit",
        }
    }
}
