//! Why the registry did not start, and why a run was not made, stopped or removed.

use std::io;

use handoff_proto::run::{IllegalEvent, RunId, RunName};
use thiserror::Error;

use crate::{
    store::{AppendError, StoreError},
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
