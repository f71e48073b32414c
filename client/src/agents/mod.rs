//! Agents, from the laptop's side: what a command line asks of one, which session goes on and what of
//! it travels, who may advance it, how it comes back, what is installed in their own interfaces. The
//! daemon drives an agent; here it is only told what for.

mod claude;
mod codex;
mod export;
mod going;
pub mod hook;
mod import;
pub mod install;
mod interface;
pub mod lease;
pub mod live;
mod mcp;
mod words;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::ValueEnum;
use handoff_proto::path::{AbsolutePath, PathError, TreePath};
use uuid::Uuid;

use crate::cli::UsageError;

use self::import::{Here, Part};

pub use self::export::{AgentError, Export, ExportContent, ExportFile, Found, Needs, Stays};
pub use self::going::Going;
pub use self::import::{Import, ImportError, ImportMode, Imported};

/// The word that keeps an agent's program a plain command.
const NONE: &str = "none";

/// A kind of agent that is handed off as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Claude Code
    Claude,
    /// Codex
    Codex,
}

/// What an agent is handed off for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The agent.
    pub kind: Kind,
    /// What it is told.
    pub prompt: String,
    /// The model, if one is asked for.
    pub model: String,
    /// How much it may do without asking, in its own words, if that is said.
    pub permissions: String,
}

/// The agent's directory cannot be the same in the sandbox.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the directory of {agent}, {}", path.display())]
pub struct DirectoryError {
    agent: &'static str,
    path: std::path::PathBuf,
    source: PathError,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Claude, Self::Codex];

    /// What the daemon calls it, and its program is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The agent that a command is, by what was asked for or by the program's name; none for a plain
    /// command.
    ///
    /// # Errors
    ///
    /// Where an agent is asked for that is not known.
    pub fn of_command(
        asked: Option<&str>,
        command: &[OsString],
    ) -> Result<Option<Self>, UsageError> {
        match asked {
            None => {
                let program = command.first().map(Path::new).and_then(Path::file_name);
                Ok(program.and_then(OsStr::to_str).and_then(Self::from_name))
            }
            Some(NONE) => Ok(None),
            Some(name) => Self::from_name(name).map(Some).ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
                UsageError {
                    message: format!("there is no agent {name:?}"),
                    hint: Some(format!(
                        "known are {}; `{NONE}` runs a plain command",
                        known.join(", ")
                    )),
                }
            }),
        }
    }

    /// What the command's words ask of the agent.
    ///
    /// # Errors
    ///
    /// Where they say nothing to it, or hold an option that means nothing here.
    pub fn task(self, command: &[OsString]) -> Result<Task, UsageError> {
        let words = command.iter().skip(1).map(|word| {
            word.to_str().map(str::to_owned).ok_or_else(|| UsageError {
                message: format!("{word:?} is no text that an agent could read"),
                hint: None,
            })
        });
        let words: Vec<String> = words.collect::<Result<_, _>>()?;
        match self {
            Self::Claude => claude::task(words),
            Self::Codex => codex::task(words),
        }
    }

    /// The id of a new session; empty where the agent chooses it.
    #[must_use]
    pub fn new_session(self) -> String {
        match self {
            Self::Claude => Uuid::new_v4().to_string(),
            Self::Codex => String::new(),
        }
    }

    /// Where it keeps its settings and sessions.
    ///
    /// # Errors
    ///
    /// Where that cannot be the same path in the sandbox.
    pub fn directory(self, home: &AbsolutePath) -> Result<AbsolutePath, DirectoryError> {
        let path = self.place_in(home.as_os_path());
        AbsolutePath::parse(path.as_os_str().as_encoded_bytes()).map_err(|source| DirectoryError {
            agent: self.name(),
            path,
            source,
        })
    }
}

impl Kind {
    /// The newest session of a directory.
    fn newest(
        self,
        agent: &AbsolutePath,
        directory: &AbsolutePath,
    ) -> Result<Option<Found>, AgentError> {
        match self {
            Self::Claude => claude::newest(agent, directory),
            Self::Codex => codex::newest(agent, directory),
        }
    }

    /// The session of that id.
    fn session(self, agent: &AbsolutePath, id: &str) -> Result<Found, AgentError> {
        let found = match self {
            Self::Claude => claude::of_id(agent, id)?,
            Self::Codex => codex::of_id(agent, id)?,
        };
        found.ok_or_else(|| AgentError::NoSession {
            agent: self.name(),
            id: id.to_owned(),
            directory: agent.as_os_path().to_owned(),
        })
    }

    /// What a file of a returned session is to it; none for what is not brought back.
    fn part(self, path: &TreePath, id: &str) -> Option<Part> {
        match self {
            Self::Claude => claude::part(path, id),
            Self::Codex => codex::part(path, id),
        }
    }

    /// The path of a session's file if the session is called `to`.
    fn renamed(self, path: &TreePath, from: &str, to: &str) -> TreePath {
        match self {
            Self::Claude => claude::renamed(path, from, to),
            Self::Codex => codex::renamed(path, from, to),
        }
    }

    /// The transcript of a session that is called `to`.
    fn rewritten(self, transcript: &[u8], from: &str, to: &str) -> Vec<u8> {
        match self {
            // Its name is all that counts.
            Self::Claude => transcript.to_vec(),
            Self::Codex => codex::rewritten(transcript, from, to),
        }
    }

    /// Whether a line that a run added to a transcript decides nothing here.
    fn is_harmless(self, line: &[u8]) -> bool {
        match self {
            Self::Claude => claude::is_harmless(line),
            Self::Codex => codex::is_harmless(line),
        }
    }

    /// Whether the transcript of a session that began there, in that directory, may be here.
    fn begins_at(self, path: &TreePath, directory: &AbsolutePath) -> bool {
        match self {
            Self::Claude => claude::begins_at(path, directory),
            Self::Codex => codex::begins_at(path),
        }
    }

    /// A returned transcript of session `id` as it may be opened here; the first `own` bytes are the
    /// laptop's. None where nothing tells how.
    fn closed(
        self,
        transcript: Vec<u8>,
        own: usize,
        id: &str,
        directory: &AbsolutePath,
    ) -> Option<Vec<u8>> {
        match self {
            Self::Claude => Some(transcript),
            Self::Codex => codex::closed(transcript, own, id, directory),
        }
    }

    /// How a transcript that is here stands to what came back, of which the first `own` bytes are the
    /// laptop's.
    fn continued(self, here: Vec<u8>, content: Vec<u8>, own: usize) -> Here {
        match self {
            Self::Claude => claude::continued(here, content, own),
            Self::Codex => codex::continued(here, content, own),
        }
    }

    /// What a fork that a run's conversation becomes is called.
    fn fork_id(self, id: &str, run: &str, number: usize) -> String {
        match self {
            Self::Claude => claude::fork_id(id, run, number),
            Self::Codex => codex::fork_id(id, run, number),
        }
    }

    /// What travels with a tree whose command starts in `directory`: a session, under that id, and
    /// what is set up for every one.
    fn export(
        self,
        agent: &AbsolutePath,
        directory: &AbsolutePath,
        session: Option<&Found>,
        id: &str,
    ) -> Result<Export, AgentError> {
        match self {
            Self::Claude => claude::export(agent, directory, session, id),
            Self::Codex => codex::export(agent, directory, session, id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn an_agent_is_known_by_its_programs_name_unless_said_otherwise() {
        let of = |asked, command| Kind::of_command(asked, &words(command)).unwrap();
        assert_eq!(of(None, "claude x"), Some(Kind::Claude));
        assert_eq!(of(None, "/opt/bin/claude x"), Some(Kind::Claude));
        assert_eq!(of(None, "claude-wrapper x"), None);
        assert_eq!(of(None, "make claude"), None);
        assert_eq!(of(None, "codex exec x"), Some(Kind::Codex));
        assert_eq!(of(Some("none"), "claude x"), None);
        assert_eq!(of(Some("claude"), "my-claude x"), Some(Kind::Claude));
        assert!(Kind::of_command(Some("clyde"), &words("claude")).is_err());
    }
}
