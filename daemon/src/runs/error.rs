//! Why the registry did not start, and why a run was not made, stopped or removed.

use std::io;

use handoff_proto::run::{IllegalEvent, RunId, RunName};
use thiserror::Error;

use crate::{
    store::{AppendError, StoreError},
    supervisor::AttachError,
    workspace::{self, WorkspaceError},
};

/// The registry could not start.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The log cannot be read.
    #[error("cannot read the runs' log")]
    Store(#[from] StoreError),
    /// What a crash left of trees cannot be removed.
    #[error("cannot clean up the trees")]
    Trees(#[from] WorkspaceError),
    /// The log contradicts itself.
    #[error("log of run {run} is damaged")]
    Damaged {
        /// The run.
        run: RunId,
        /// What is wrong.
        #[source]
        source: IllegalEvent,
    },
}

/// A run was not made; nothing has changed.
#[derive(Debug, Error)]
pub enum CreateError {
    /// Another run of this user has the name.
    #[error("a run called {0} exists already")]
    NameTaken(RunName),
    /// The event could not be recorded.
    #[error("cannot record the run")]
    Append(#[from] AppendError),
    /// The kernel gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
}

/// The disk that holds the state has no room for more.
#[derive(Debug, Error)]
pub enum RoomError {
    /// What is wanted would leave less than the operator's reserve.
    #[error(
        "disk of the daemon is full: {} MiB are free, this needs {} MiB, and {} MiB are to stay free \
         (`[store] reserve`)",
        .free_bytes >> 20, .needed_bytes >> 20, .reserve_bytes >> 20
    )]
    Full {
        /// What is free.
        free_bytes: u64,
        /// What is wanted.
        needed_bytes: u64,
        /// What has to stay free.
        reserve_bytes: u64,
    },
    /// The system does not tell how full it is.
    #[error("cannot tell how full the disk of the state is")]
    Unknown(#[from] io::Error),
}

/// A run was not stopped.
#[derive(Debug, Error)]
pub enum StopError {
    /// It has finished already.
    #[error("run {0} has finished already")]
    Finished(RunName),
    /// Its driver is gone; the daemon is stopping or its store failed.
    #[error("run {0} is not driven right now; restart the daemon")]
    NotDriven(RunName),
}

/// An agent cannot be driven here.
#[derive(Debug, Error)]
pub enum AgentError {
    /// No agent of that kind is.
    #[error("this daemon cannot drive {0:?}")]
    Unknown(String),
    /// The model API that it uses wants a credential.
    #[error("this daemon has no credential for {provider}, which {agent} needs to use a model")]
    NoCredential {
        /// The agent.
        agent: String,
        /// The model API.
        provider: String,
    },
    /// A newer one has written to the session.
    #[error("{agent} of this daemon is {here}, the session is of {session}")]
    TooOld {
        /// The agent.
        agent: String,
        /// What the agent here says of its version.
        here: String,
        /// The version that went on with the session last.
        session: String,
    },
}

/// An answer was not taken; nothing has changed.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// It asks nothing.
    #[error("run {0} waits for no answer")]
    NothingAsked(RunName),
    /// It asks something else by now.
    #[error("run {0} waits for another answer by now")]
    Other(RunName),
    /// Yes or no is an answer to another kind of question.
    #[error("run {0} asks a question, which cannot be approved")]
    NeedsText(RunName),
    /// A text is an answer to another kind of question.
    #[error("run {0} asks for permission")]
    NeedsPermission(RunName),
    /// There is no such choice.
    #[error("run {run} offers {} choices, not a number {number}", .offered)]
    NoSuchChoice {
        /// The run.
        run: RunName,
        /// What was chosen.
        number: u32,
        /// How many there are.
        offered: usize,
    },
    /// Several were chosen where one may be.
    #[error("run {0} asks for one choice")]
    OneChoice(RunName),
    /// More text than an agent is given.
    #[error("text of {bytes} bytes is over the limit of {limit} bytes")]
    TooLong {
        /// What was sent.
        bytes: usize,
        /// What may be.
        limit: usize,
    },
    /// Nothing was answered at all.
    #[error("there is no answer in it")]
    Nothing,
    /// Its driver is gone; the daemon is stopping or its store failed.
    #[error("run {0} is not driven right now; restart the daemon")]
    NotDriven(RunName),
}

/// Nothing was said to a run's agent.
#[derive(Debug, Error)]
pub enum SayError {
    /// It has no agent that listens.
    #[error("run {0} has no agent that could be told something")]
    NoAgent(RunName),
    /// There is nothing in it, or too much.
    #[error(transparent)]
    Text(#[from] AnswerError),
    /// The agent has not begun, or is just ending.
    #[error("run {0} is {1} and takes nothing right now")]
    NotNow(RunName, &'static str),
    /// Its result has not been kept, so there is nothing to go on with.
    #[error("run {0} was never started")]
    NeverStarted(RunName),
    /// The event could not be recorded.
    #[error("cannot record what was said")]
    Append(#[from] AppendError),
    /// The log cannot be read.
    #[error("cannot read the run's log")]
    Store(#[from] StoreError),
    /// Its driver is gone; the daemon is stopping or its store failed.
    #[error("run {0} is not driven right now; restart the daemon")]
    NotDriven(RunName),
}

/// Nobody gets to a run's terminal.
#[derive(Debug, Error)]
pub enum SitError {
    /// It has none.
    #[error("run {0} has no terminal")]
    NoTerminal(RunName),
    /// Its command has ended.
    #[error("command of run {0} has ended, and its terminal with it")]
    Over(RunName),
    /// Somebody else types.
    #[error("somebody else sits at the terminal of run {0}")]
    Taken(RunName),
    /// They are there by a newer connection.
    #[error("this attachment to run {0} has come by another connection since")]
    Replaced(RunName),
    /// Too many are there.
    #[error("{present} others are at the terminal of run {run}, or were a moment ago")]
    Full {
        /// The run.
        run: RunName,
        /// How many.
        present: usize,
    },
    /// Its supervisor does not answer.
    #[error("cannot reach the terminal of run {run}")]
    Supervisor {
        /// The run.
        run: RunName,
        /// What was tried.
        #[source]
        source: AttachError,
    },
    /// The daemon is stopping.
    #[error("run {0} is not driven right now; the daemon is stopping")]
    NotDriven(RunName),
}

/// A run was not removed.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// It has not finished.
    #[error("run {0} has not finished")]
    Unfinished(RunName),
    /// Its files are still there.
    #[error("cannot remove the run's files")]
    Files(#[from] workspace::RemoveError),
    /// Its records are still there.
    #[error("cannot remove the run's records")]
    Store(#[from] StoreError),
}
