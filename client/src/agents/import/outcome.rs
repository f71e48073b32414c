//! What became of a conversation, for programs and for people.

use serde::Serialize;

use super::ImportError;
use crate::exit::chain_text;

/// What became of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// How it came back.
    pub mode: ImportMode,
    /// The session that holds it now.
    pub session_id: String,
    /// What goes on with it.
    pub resume: Vec<String>,
    /// What of it stays with the run.
    pub left_out: Vec<String>,
    /// Sessions of its sub-agents, which are here: also those that were, as nobody knows whether the
    /// agent was ever told of them.
    #[serde(skip)]
    pub spawned: Vec<String>,
    /// Why the agent could not be told of these; it does not go on with them by itself then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// How a conversation came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportMode {
    /// The session that was here has all of it already.
    UpToDate,
    /// The session that was here goes on.
    Forwarded,
    /// It is a session that was not here before.
    New,
    /// A session of its own: the one here went on meanwhile.
    Forked,
    /// A session of its own: a program has the one here open.
    ForkedWhileOpen,
    /// Not at all.
    Nothing,
}

impl Imported {
    /// Nothing came back, for this reason.
    #[must_use]
    pub fn nothing(session_id: &str, why: &ImportError) -> Self {
        let (session_id, left_out) = (session_id.to_owned(), vec![chain_text(why)]);
        let (mode, resume, spawned) = (ImportMode::Nothing, Vec::new(), Vec::new());
        Self { mode, session_id, resume, left_out, spawned, unknown: None }
    }

    /// What is told about it, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let resume = self.resume.join(" ");
        let first = match self.mode {
            ImportMode::UpToDate => return self.unknown().into_iter().collect(),
            ImportMode::Nothing => "the conversation did not come back".to_owned(),
            ImportMode::Forwarded | ImportMode::New => {
                format!("the conversation is back: `{resume}` goes on with it")
            }
            ImportMode::Forked => format!(
                "the conversation here went on meanwhile: the run's is a session of its own, `{resume}`"
            ),
            ImportMode::ForkedWhileOpen => format!(
                "the conversation is open here: the run's is a session of its own, `{resume}`; in the open one `/resume {}` goes over to it",
                self.session_id
            ),
        };
        let left_out =
            self.left_out.iter().map(|what| format!("of the conversation stays there: {what}"));
        std::iter::once(first).chain(left_out).chain(self.unknown()).collect()
    }

    fn unknown(&self) -> Option<String> {
        let why = self.unknown.as_ref()?;
        let program = self.resume.first().map_or("the agent", String::as_str);
        Some(format!(
            "its sub-agents are here, but {program} could not be told of them: {why}; pulling again tells it again"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_could_not_be_told_is_said_also_where_all_was_here() {
        let mut imported = Imported {
            mode: ImportMode::UpToDate,
            session_id: "s".into(),
            resume: ["codex", "resume", "s"].map(str::to_owned).into(),
            left_out: vec!["x".into()],
            spawned: vec!["t".into()],
            unknown: None,
        };
        assert_eq!(imported.lines(), [""; 0]);
        imported.unknown = Some("timed out".into());
        let unknown = "its sub-agents are here, but codex could not be told of them: timed out; pulling again tells it again";
        assert_eq!(imported.lines(), [unknown]);
        imported.mode = ImportMode::New;
        let lines = imported.lines();
        assert_eq!((lines.len(), lines[2].as_str()), (3, unknown));
    }
}
