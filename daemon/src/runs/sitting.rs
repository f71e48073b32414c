//! Users at the terminals of their runs: any number that look, one that types. What they type is
//! recorded nowhere, that they sat there is.

use std::{sync::Arc, time::Duration};

use handoff_proto::{
    run::{Run, RunName, State},
    wire,
};
use tokio_util::sync::CancellationToken;

use super::{
    Live, Registry, Request,
    error::SitError,
    keyboard::{Hold, Manners},
    presence::{PRESENT_MAX, Place},
};
use crate::{
    store::UserName,
    supervisor::{AttachError, Found, Looking, Terminal, output::Position},
    workspace::JobKind,
};

/// How long somebody whose connection broke may take to come back before they count as gone.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// What somebody wants who comes to a terminal.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Which attachment, however often it has connected.
    pub(crate) id: String,
    /// Whose.
    pub(crate) by: UserName,
    /// Whether they want to type, and how they treat others who do.
    pub(crate) keyboard: Option<Manners>,
}

/// Somebody's place at a terminal.
#[derive(Debug)]
pub(crate) struct Sitting {
    pub(crate) terminal: Terminal,
    /// None for those who look only.
    pub(crate) hold: Option<Hold>,
    /// The job whose terminal it is, from 1, and where its last screens begin.
    pub(crate) job: u32,
    pub(crate) tail: Position,
    /// What it shows that is not kept; once.
    pub(crate) looking: Option<Looking>,
    place: Place,
    registry: Registry,
    live: Arc<Live>,
    detached: wire::Detached,
}

impl Registry {
    /// Gives somebody a place at a run's terminal, once its command runs.
    ///
    /// # Errors
    /// When it has none, or not any more, or somebody else types.
    pub(crate) async fn sit(&self, live: &Arc<Live>, wish: Wish) -> Result<Sitting, SitError> {
        let run = live.run();
        if run.contract.terminal.is_none() || !run.contract.agent.is_empty() {
            return Err(SitError::NoTerminal(run.name));
        }
        let run = self.begun(live).await.ok_or(SitError::NotDriven(run.name))?;
        let name = run.name.clone();
        if matches!(run.state, State::Verifying(_) | State::Finished(_)) {
            return Err(SitError::Over(name));
        }
        // Before anything is opened at the supervisor, which takes so many connections.
        let full = SitError::Full { run: name, present: PRESENT_MAX };
        let place = live.presence().come(&wish.id).ok_or(full)?;
        let detached = wire::Detached { by: wish.by.as_str().to_owned(), id: wish.id.clone() };
        let (Found { terminal, tail, looking }, hold) =
            match self.sit_down(live, &run, &wish, &place).await {
                Ok(found) => found,
                Err(error) => {
                    if place.comes_back() {
                        self.away(Arc::clone(live), detached, place);
                    }
                    return Err(error);
                }
            };
        let wire::Detached { by, id } = detached.clone();
        let attached = wire::Attached { by, id, writes: hold.is_some() };
        // A run that has just ended records no more of it.
        let _ended = live.ask(Request::Attached(attached)).await;
        let (looking, registry, live) = (Some(looking), self.clone(), Arc::clone(live));
        let job = run.job;
        Ok(Sitting { terminal, hold, job, tail, looking, place, registry, live, detached })
    }

    /// Finds the terminal, and takes its keyboard for those who want it.
    async fn sit_down(
        &self,
        live: &Live,
        run: &Run,
        wish: &Wish,
        place: &Place,
    ) -> Result<(Found, Option<Hold>), SitError> {
        let name = run.name.clone();
        let job_dir = self.layout(&run.id).job(run.job, JobKind::Command);
        let found = tokio::select! {
            () = place.replaced().cancelled() => return Err(SitError::Replaced(name)),
            found = Terminal::find(&job_dir, &wish.id) => found,
        };
        let found = match found {
            Ok(found) => found,
            Err(AttachError::NotRunning(_)) => return Err(SitError::Over(name)),
            Err(source) => return Err(SitError::Supervisor { run: name, source }),
        };
        let Some(manners) = wish.keyboard else { return Ok((found, None)) };
        match live.keyboard().take(&wish.id, manners) {
            None if manners != Manners::Yielding => Err(SitError::Taken(name)),
            hold => Ok((found, hold)),
        }
    }

    /// A moment later whoever is away may be back, and has never left.
    fn away(&self, live: Arc<Live>, detached: wire::Detached, place: Place) {
        let stopping = self.stopping().clone();
        self.tracker().spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = place.replaced().cancelled() => {}
                () = tokio::time::sleep(AWAY_MAX) => leave(&live, detached, &place).await,
            }
        });
    }

    /// Waits until the command runs, or never will; none where the daemon stops first.
    async fn begun(&self, live: &Live) -> Option<Run> {
        let mut published = live.subscribe();
        let waits = |run: &Run| matches!(run.state, State::Queued | State::Preparing);
        tokio::select! {
            () = self.stopping().cancelled() => None,
            run = published.wait_for(|run| !waits(run)) => run.ok().map(|run| run.clone()),
        }
    }
}

impl Sitting {
    /// What its run is called.
    pub(crate) fn run_name(&self) -> RunName {
        self.live.with(|run| run.name.clone())
    }

    /// Lets go of the terminal.
    pub(crate) async fn leave(self) {
        drop(self.hold);
        leave(&self.live, self.detached, &self.place).await;
    }

    /// Lets go of the terminal for somebody whose connection broke.
    pub(crate) fn lose(self) {
        let Self { place, registry, live, detached, .. } = self;
        registry.away(live, detached, place);
    }

    /// Is cancelled once they have come back by another connection: this one is to end.
    pub(crate) fn replaced(&self) -> CancellationToken {
        self.place.replaced().clone()
    }
}

async fn leave(live: &Live, detached: wire::Detached, place: &Place) {
    if place.leave() {
        let _ended = live.ask(Request::Detached(detached)).await;
    }
}
