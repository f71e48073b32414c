//! The driver: the one task that advances a run, from whatever state the log says it is in.
//!
//! Each step looks at the folded state, acts, and records what came of it; a crash between any two
//! lines leaves a log from which the same steps go on. What a job's directory holds decides whether
//! a process was started: a command is never started twice.

mod agent;
mod command;
mod harvest;
mod prepare;
mod renewal;

use std::{io, path::PathBuf, sync::Arc};

use handoff_proto::run::{Event, Exit, Outcome, Recorded, Run, State};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    AnswerError, Request,
    admission::{Claims, HeldLease},
    journal::{Journal, RecordError},
    outcome,
    shared::Shared,
};
use crate::{
    launcher,
    store::UserName,
    supervisor::{self, StartError},
    workspace::{JobKind, Layout, WorkspaceError},
};

/// One run's driver.
pub(super) struct Driver {
    shared: Arc<Shared>,
    journal: Journal,
    layout: Layout,
    requests: mpsc::Receiver<Request>,
    claims: Claims,
    slot: Option<OwnedSemaphorePermit>,
    lease: Option<HeldLease>,
}

/// The driver cannot go on; a restart of the daemon takes the run up where the log ends.
#[derive(Debug, Error)]
enum DriveError {
    #[error("cannot record what happened")]
    Record(#[from] RecordError),
    #[error("cannot prepare or take in its harvest")]
    Harvest(#[from] WorkspaceError),
    #[error("cannot follow its job")]
    Supervisor(#[from] supervisor::AttachError),
    #[error("cannot read what its agent wrote")]
    Read(#[from] supervisor::output::ReadError),
    #[error("cannot start its harvest")]
    Start(#[from] StartError),
    #[error("cannot make room for another harvest")]
    Discard(#[from] supervisor::DiscardError),
    #[error("user of the run has an impossible name")]
    User(#[from] crate::store::UserNameError),
    #[error("daemon is stopping")]
    Stopping,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        journal: Journal,
        requests: mpsc::Receiver<Request>,
        claims: Claims,
    ) -> Self {
        let layout = shared.layout(&journal.run().id);
        // A run that was claimed before a restart keeps a slot if there is one; it is not stopped
        // because the operator lowered the limit meanwhile.
        let slot = match journal.run().state {
            State::Queued | State::Finished(_) => None,
            State::Preparing
            | State::Running
            | State::NeedsInput(_)
            | State::Paused
            | State::Verifying(_) => Arc::clone(&shared.slots).try_acquire_owned().ok(),
        };
        Self { shared, journal, layout, requests, claims, slot, lease: None }
    }

    /// Drives the run to its end.
    pub(super) async fn drive(mut self) {
        let id = self.journal.run().id.clone();
        while !self.journal.run().is_finished() {
            if let Err(error) = self.step().await {
                let error = anyhow::Error::from(error);
                tracing::error!(run = %id, "run is not driven any more: {error:#}");
                return;
            }
        }
        self.journal.live().close_output();
        tracing::info!(run = %id, state = self.journal.run().state.name(), "run finished");
        if let Some(lease) = self.lease.take() {
            lease.done(&*self.shared.store.queue).await;
        }
        drop(self.slot.take());
    }

    async fn step(&mut self) -> Result<(), DriveError> {
        match self.journal.run().state {
            State::Queued => self.await_claim().await,
            State::Preparing => self.prepare_and_start().await,
            State::Running | State::NeedsInput(_) | State::Paused => self.rejoin_command().await,
            State::Verifying(Recorded::NotYet) => self.harvest_or_skip().await,
            State::Verifying(Recorded::Yes) => self.finish().await,
            State::Finished(_) => Ok(()),
        }
    }

    /// Waits for a slot, or for the user to lose patience.
    async fn await_claim(&mut self) -> Result<(), DriveError> {
        tokio::select! {
            request = self.requests.recv() => {
                let Some(request) = request else { return Err(DriveError::Stopping) };
                let Some(by) = self.stop_or_refuse(request) else { return Ok(()) };
                self.journal.record(Event::StopRequested(by)).await?;
                self.cancel("stopped before it started").await
            }
            claim = self.claims.recv() => {
                let Some(claim) = claim else { return Err(DriveError::Stopping) };
                self.slot = Some(claim.slot);
                self.lease = Some(claim.lease);
                self.claim().await
            }
        }
    }

    /// Records that this worker has the run, under which uid.
    async fn claim(&mut self) -> Result<(), DriveError> {
        let shared = Arc::clone(&self.shared);
        let _making = shared.making().await;
        let host_uid = match self.journal.run().host_uid {
            Some(uid) => Some(uid),
            // A run that gets none although others have is refused when it is prepared.
            None => shared.free_host_uid().unwrap_or(None),
        };
        let event = Event::Claimed {
            worker: shared.settings.worker.clone(),
            epoch: self.journal.run().epoch + 1,
            host_uid,
        };
        Ok(self.journal.record(event).await?)
    }

    /// Who wants it to end; whatever else is asked of a command that does not run is refused.
    fn stop_or_refuse(&self, request: Request) -> Option<String> {
        match request {
            Request::Stop { by } => Some(by),
            Request::Answer { reply, .. } => {
                // Who has gone does not want to know.
                drop(reply.send(Err(AnswerError::NothingAsked(self.run().name.clone()))));
                None
            }
            Request::Say { reply, .. } => {
                let _gone = reply.send(false);
                None
            }
            // Its terminal has gone with its command.
            Request::Attached(_) | Request::Detached(_) => None,
        }
    }

    async fn cancel(&mut self, detail: &str) -> Result<(), DriveError> {
        let detail = detail.to_owned();
        Ok(self.journal.record(Event::Finished { outcome: Outcome::Cancelled, detail }).await?)
    }

    /// A command that was never started has changed nothing: there is nothing to harvest.
    async fn harvest_or_skip(&mut self) -> Result<(), DriveError> {
        self.journal.live().close_output();
        match self.journal.run().exit {
            Some(Exit::Refused { .. }) | None => self.finish().await,
            Some(
                Exit::Code(_)
                | Exit::Signal(_)
                | Exit::TimedOut(_)
                | Exit::DiskLimit(_)
                | Exit::Lost(_),
            ) => self.harvest().await,
        }
    }

    async fn finish(&mut self) -> Result<(), DriveError> {
        let run = self.journal.run();
        let unknown = Exit::Lost("nothing is known about its end".to_owned());
        let exit = run.exit.as_ref().unwrap_or(&unknown);
        let agent = run.contract.agent_terms.as_ref().map(|_| &run.agent);
        let (outcome, mut detail) = outcome::decide(exit, run.stop_requested, agent);
        let failure = run.harvest.as_ref().map_or("", |harvest| harvest.failure.as_str());
        if !failure.is_empty() {
            let separator = if detail.is_empty() { "" } else { "; " };
            detail = format!("{detail}{separator}no result: {failure}");
        }
        Ok(self.journal.record(Event::Finished { outcome, detail }).await?)
    }

    /// Starts the supervisor of a job that is described, by the launcher where there is one.
    async fn start_job(&self, kind: JobKind) -> Result<(), StartError> {
        let job = self.job(kind);
        let Some(socket) = self.shared.settings.config.isolation.launcher.clone() else {
            return supervisor::start(&job).await;
        };
        let request =
            launcher::Request::Start { run: self.run().id.clone(), kind, number: self.run().job };
        let asking = tokio::task::spawn_blocking(move || launcher::ask(&socket, &request));
        let asking =
            async { asking.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) };
        supervisor::start_through(&job, asking).await
    }

    /// The directory of a job of the present turn.
    fn job(&self, kind: JobKind) -> PathBuf {
        self.layout.job(self.run().job, kind)
    }

    fn user(&self) -> Result<UserName, DriveError> {
        Ok(UserName::parse(&self.run().user)?)
    }

    fn run(&self) -> &Run {
        self.journal.run()
    }
}
