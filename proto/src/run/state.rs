//! Where a run stands. States carry their data; nothing here changes one.

use std::fmt;

use crate::wire;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Waits for a worker.
    Queued,
    /// A worker sets up its workspace and sandbox.
    Preparing,
    /// The command lives.
    Running,
    /// The command waits for a human.
    NeedsInput(wire::InputNeeded),
    /// The user paused the command.
    Paused,
    /// The command has ended; its result is being harvested.
    Verifying(Recorded),
    /// Nothing more happens in this turn.
    Finished(Ending),
}

/// Whether the turn's result is recorded already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The harvest is still to come.
    NotYet,
    /// The result, or why there is none, is in the log.
    Yes,
}

/// How a turn finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The one outcome.
    pub outcome: Outcome,
    /// One line for a human; may be empty.
    pub detail: String,
    /// When, in nanoseconds since the Unix epoch.
    pub at_unix_nanos: i64,
}

/// What became of a finished turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command exited 0.
    Succeeded,
    /// The command exited otherwise.
    Failed,
    /// The agent stopped for judgement.
    HandedBack,
    /// The user stopped it.
    Cancelled,
    /// Its wall time was over.
    TimedOut,
    /// Its sandbox or agent could not be set up.
    Refused,
    /// It vanished and could not be resumed.
    Lost,
}

impl State {
    /// The state's name in JSON and on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::NeedsInput(_) => "needs_input",
            Self::Paused => "paused",
            Self::Verifying(_) => "verifying",
            Self::Finished(_) => "finished",
        }
    }
}

impl Outcome {
    /// The outcome's name in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::HandedBack => "handed_back",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::Lost => "lost",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Succeeded,
            Self::Failed,
            Self::HandedBack,
            Self::Cancelled,
            Self::TimedOut,
            Self::Refused,
            Self::Lost,
        ]
        .into_iter()
        .find(|outcome| outcome.name() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Outcome> for wire::OutcomeKind {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::HandedBack => Self::HandedBack,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Refused => Self::Refused,
            Outcome::Lost => Self::Lost,
        }
    }
}

impl TryFrom<wire::OutcomeKind> for Outcome {
    type Error = ();

    fn try_from(kind: wire::OutcomeKind) -> Result<Self, ()> {
        Ok(match kind {
            wire::OutcomeKind::Unspecified => return Err(()),
            wire::OutcomeKind::Succeeded => Self::Succeeded,
            wire::OutcomeKind::Failed => Self::Failed,
            wire::OutcomeKind::HandedBack => Self::HandedBack,
            wire::OutcomeKind::Cancelled => Self::Cancelled,
            wire::OutcomeKind::TimedOut => Self::TimedOut,
            wire::OutcomeKind::Refused => Self::Refused,
            wire::OutcomeKind::Lost => Self::Lost,
        })
    }
}
