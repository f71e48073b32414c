//! The user interfaces of agents in which `handoff` can be installed.

use std::path::PathBuf;

use clap::ValueEnum;

/// A user interface of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Interface {
    /// Claude Code
    Claude,
    /// Codex
    Codex,
}

impl Interface {
    /// What the agent is called on command lines and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }

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
    pub fn directory(self) -> Option<PathBuf> {
        let set = std::env::var_os(self.directory_variable()).filter(|value| !value.is_empty());
        let usual = match self {
            Self::Claude => ".claude",
            Self::Codex => ".codex",
        };
        set.map(PathBuf::from)
            .or_else(|| Some(directories::BaseDirs::new()?.home_dir().join(usual)))
    }

    /// The command that opens a session again.
    #[must_use]
    pub fn resume_command(self, session: &str) -> String {
        match self {
            Self::Claude => format!("claude --resume {session}"),
            Self::Codex => format!("codex resume {session}"),
        }
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
