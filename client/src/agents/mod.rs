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
mod renames;
mod words;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use clap::ValueEnum;
use handoff_proto::path::{AbsolutePath, PathError, TreePath};
use uuid::Uuid;

use crate::cli::UsageError;

use self::import::{From, Here, Part, Returned, Spawned, Standing};

pub use self::export::{AgentError, Export, ExportContent, ExportFile, Found, Needs, Stays};
pub use self::going::Going;
pub use self::import::{Import, ImportError, ImportMode, ImportPlace, Imported};
pub use self::renames::Renames;

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

    /// The path of a session's file under these names.
    fn renamed(self, path: &TreePath, renames: &Renames) -> TreePath {
        match self {
            Self::Claude => claude::renamed(path, renames),
            Self::Codex => codex::renamed(path, renames),
        }
    }

    /// What of a line that a run added to a transcript may be here; none where it would decide
    /// something.
    fn kept<'a>(self, line: &'a [u8], place: &ImportPlace<'_>) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Claude => claude::kept(line, place),
            Self::Codex => codex::is_record(line).then_some(Cow::Borrowed(line)),
        }
    }

    /// Whether the transcript of a session that began there, in that directory, may be here.
    fn begins_at(self, path: &TreePath, directory: &AbsolutePath) -> bool {
        match self {
            Self::Claude => claude::begins_at(path, directory),
            Self::Codex => codex::begins_at(path),
        }
    }

    /// What is put at the end of the transcript of session `id`, so that it may be opened here. None
    /// where nothing tells how.
    fn closing(
        self,
        transcript: &Returned,
        id: &str,
        directory: &AbsolutePath,
    ) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Claude => Ok(Some(Vec::new())),
            Self::Codex => codex::closing(transcript, id, directory),
        }
    }

    /// How a transcript that is here stands to what came back, if they have that many bytes in common
    /// at their beginning.
    fn continued(
        self,
        common: u64,
        here: &Here,
        returned: &Returned,
        renames: &Renames,
    ) -> io::Result<Standing> {
        match self {
            Self::Claude => claude::continued(common, here, returned, renames),
            Self::Codex => codex::continued(common, here, returned, renames),
        }
    }

    /// Writes what a run added, from that place on, behind the transcript that is here, and what is
    /// put at its end.
    fn append(
        self,
        here: &Here,
        added: From<'_>,
        renames: &Renames,
        closing: &[u8],
        into: &mut dyn io::Write,
    ) -> io::Result<()> {
        match self {
            Self::Claude => {
                io::copy(&mut renames.reader(added), into)?;
                into.write_all(&renames.text(closing))
            }
            Self::Codex => codex::append(here, added, renames, closing, into),
        }
    }

    /// What a transcript's first record says of an agent that another one spawned. Claude Code keeps
    /// theirs among the files of the session.
    fn spawned(self, first: &[u8]) -> Option<Spawned> {
        match self {
            Self::Claude => None,
            Self::Codex => codex::spawned(first),
        }
    }

    /// The sessions that are here and their files, where a file of another name could come before
    /// them: Claude Code knows its own by their names alone.
    fn sessions_here(self, agent: &AbsolutePath) -> Vec<(String, TreePath)> {
        match self {
            Self::Claude => Vec::new(),
            Self::Codex => codex::sessions_here(agent),
        }
    }

    /// Tells the agent of sessions that came back, where it does not find them by their files.
    fn make_known(self, agent: &AbsolutePath, sessions: &[&str]) -> io::Result<()> {
        match self {
            Self::Claude => Ok(()),
            Self::Codex => codex::make_known(agent, sessions),
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
