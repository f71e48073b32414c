//! An agent's session, which travels with a tree and comes back with a result.

use crate::path::AbsolutePath;

use super::check::{GitNames, add_content, at_most, entry_alone, refuse_session_entry};
use super::entry::{Entry, Kind};
use super::error::{EntryProblem, ManifestError};
use super::limits::Limits;

/// The longest name of an agent or id of a session, in bytes: several times what any agent uses.
pub const SESSION_NAME_MAX: usize = 200;

/// What an agent keeps of one session, as files in the agent's own directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The kind of agent.
    pub agent: String,
    /// What the agent calls the session; empty as long as the agent has not named it.
    pub id: String,
    /// The agent's directory, on the laptop as in the sandbox.
    pub directory: AbsolutePath,
    /// Regular files beneath that directory, sorted by path, each once. Directories are those that
    /// the paths name.
    pub files: Vec<Entry>,
}

impl Session {
    /// The sizes of the files together, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().map(Entry::size).sum()
    }

    /// Checks every rule, and returns `content` and what the files hold.
    pub(super) fn check(&self, mut content: u64, limits: &Limits) -> Result<u64, ManifestError> {
        for (what, name, may_lack) in [("agent", &self.agent, false), ("session", &self.id, true)] {
            let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic());
            let lacks = name.is_empty() && !may_lack;
            if lacks || name.len() > SESSION_NAME_MAX || !is_plain {
                return Err(ManifestError::SessionName(what));
            }
        }
        at_most("files of a session", self.files.len(), limits.entries_max)?;
        let mut previous: Option<&Entry> = None;
        for file in &self.files {
            let problem = entry_alone(file, GitNames::Refused).and_then(|()| match &file.kind {
                Kind::File { .. } => placed(file, previous),
                Kind::Directory | Kind::Symlink { .. } => Err(EntryProblem::NotFile),
            });
            problem.map_err(|problem| refuse_session_entry(&file.path, problem))?;
            content = add_content(content, file.size(), limits)?;
            previous = Some(file);
        }
        Ok(content)
    }
}

/// After its predecessor, and not beneath it.
fn placed(file: &Entry, previous: Option<&Entry>) -> Result<(), EntryProblem> {
    let Some(previous) = previous else { return Ok(()) };
    match previous.path.cmp(&file.path) {
        std::cmp::Ordering::Equal => Err(EntryProblem::Duplicate),
        std::cmp::Ordering::Greater => Err(EntryProblem::Unsorted),
        // Paths compare by components: what is beneath a file would come right after it.
        std::cmp::Ordering::Less if file.path.starts_with(&previous.path) => {
            Err(EntryProblem::Parent)
        }
        std::cmp::Ordering::Less => Ok(()),
    }
}
