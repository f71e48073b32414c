//! How agents are driven: from the lines that one writes to what happened, and from what its user
//! says to the lines that it reads.
//!
//! ```text
//!            lines of its standard output                Tell   what happened, for the log
//! agent ───────────────────────────────▶ Conversation ─▶ Ask    what a human has to say
//!   ▲                                         │          Void   what nobody has to say any more
//!   └──────────────── Send, each once ◀───────┘          End    nothing is left to do
//! ```
//!
//! A conversation is a pure function of what it hears and what it is told. After a restart of the
//! daemon it is held again from the first line on: pieces that were sent have the same names and are
//! not written twice, what was recorded is not recorded again. What an agent writes comes out of a
//! sandbox: it is believed as far as the run itself goes, and no further.
//!
//! Knows no run, no supervisor and no store; reads no screen. `installed` alone looks at the machine.

mod claude;
mod codex;
mod cut;
pub(crate) mod installed;
pub(crate) mod mcp;
mod question;

use handoff_proto::run::AgentAccount;
use handoff_proto::wire::{self, answer, heard};

/// What a conversation wants done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// Write this line to the agent, unless a piece of this name was.
    Send {
        /// The piece's name.
        id: String,
        /// The line, with its end.
        line: String,
    },
    /// This happened.
    Tell(heard::What),
    /// Only a human can say how to go on.
    Ask(wire::InputNeeded),
    /// The question of this id has become void.
    Void(String),
    /// The turn is over, and nothing that was said is left to do.
    End,
}

/// One job of one agent.
pub(crate) trait Conversation: Send {
    /// What there is to say first.
    fn begin(&mut self) -> Vec<Act>;

    /// Hears a line of the agent's standard output, without its end.
    fn hear(&mut self, line: &[u8]) -> Vec<Act>;

    /// Passes on what a human answered to the question of that id; nothing if there is none.
    fn answer(&mut self, id: &str, answer: &answer::What) -> Vec<Act>;

    /// Passes on what a human said.
    fn say(&mut self, said: &wire::Said) -> Vec<Act>;
}

/// A kind of agent that is driven by more than its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
}

/// Where a conversation begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning<'a> {
    /// Tells this conversation from every other one: the run and the job.
    pub(crate) name: &'a str,
    /// What is to be done.
    pub(crate) terms: &'a wire::AgentTerms,
    /// What is known of the agent so far.
    pub(crate) account: &'a AgentAccount,
    /// Why it is resumed in the middle of a turn, if it is.
    pub(crate) interrupted: bool,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Claude, Self::Codex];

    /// The kind of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What contracts call it, and its program is called unless the operator says otherwise.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }

    /// The model API that it uses unless the operator says otherwise.
    pub(crate) const fn provider(self) -> &'static str {
        match self {
            Self::Claude => "anthropic",
            Self::Codex => "openai",
        }
    }

    /// The directories beneath its own in which it keeps sessions.
    pub(crate) const fn session_directories(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["file-history", "plans", "projects", "tasks"],
            Self::Codex => &["sessions"],
        }
    }

    /// The file beneath its directory in which it finds MCP servers.
    pub(crate) const fn mcp_file(self) -> &'static str {
        match self {
            Self::Claude => ".claude.json",
            Self::Codex => "config.toml",
        }
    }

    /// The program's arguments.
    pub(crate) fn arguments(self, beginning: &Beginning<'_>) -> Vec<String> {
        match self {
            Self::Claude => claude::arguments(beginning),
            Self::Codex => codex::arguments(),
        }
    }

    /// Arguments that lead it to its model API at this URL, where no variable does.
    pub(crate) fn model_arguments(self, base_url: &str) -> Vec<String> {
        match self {
            Self::Claude => Vec::new(),
            Self::Codex => codex::model_arguments(base_url),
        }
    }

    /// Variables that the agent needs.
    pub(crate) fn variables(self, directory: &str) -> Vec<(String, String)> {
        match self {
            Self::Claude => claude::variables(directory),
            Self::Codex => codex::variables(directory),
        }
    }

    /// Begins a conversation with an agent that was started with those arguments.
    pub(crate) fn converse(self, beginning: &Beginning<'_>) -> Box<dyn Conversation> {
        match self {
            Self::Claude => Box::new(claude::Claude::new(beginning)),
            Self::Codex => Box::new(codex::Codex::new(beginning)),
        }
    }
}
