//! The runs of this daemon: made, found, stopped, removed; each has one driver.

use std::{
    sync::{Arc, PoisonError},
    time::SystemTime,
};

use handoff_proto::{
    manifest::SnapshotId,
    run::{Contract, Event, RUN_ID_LEN, Record, Run, RunId, RunName, State},
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Live, Request, SelectError, Selector,
    admission::{self, CLASS, Claim},
    driver::Driver,
    error::{CreateError, RegistryError, RemoveError, StopError},
    journal::{Journal, now_unix_nanos},
    recovery::fold,
    select::select,
    shared::{Entry, RunSettings, Shared},
};
use crate::{
    sign_in::Renewals,
    store::{AppendError, Quotas, Rev, Store, StoreError, UserName},
    workspace::{self, Layout, Originals, Owner, Sharing, Snapshots, Trees},
};

/// What a new run starts from.
#[derive(Debug)]
pub struct NewRun {
    /// Whose run it is.
    pub user: UserName,
    /// A retry with the same key finds the run that the first one made.
    pub idempotency_key: Vec<u8>,
    /// The name wanted.
    pub name: Option<RunName>,
    /// The tree, stored already.
    pub snapshot: SnapshotId,
    /// What it may do.
    pub contract: Contract,
}

/// The runs of this daemon; cloning it clones the handle.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Shared>);

impl Registry {
    /// Folds the log, takes up every unfinished run, and starts admission.
    ///
    /// # Errors
    /// When the log cannot be read or contradicts itself.
    pub async fn recover(
        store: Store,
        settings: RunSettings,
        tracker: TaskTracker,
        stopping: CancellationToken,
    ) -> Result<Self, RegistryError> {
        let folded = fold(&store).await?;
        let trees = Trees::new(&settings.state);
        trees.clean()?;
        let originals = Originals::new(&settings.state);
        if let Err(error) = originals.clean() {
            // They are in nobody's way.
            tracing::warn!("unfinished shared files stay: {:#}", anyhow::Error::from(error));
        }
        let shared = Shared::new(store, settings, tracker, stopping, trees, originals);
        let registry = Self(Arc::new(shared));
        let mut drivers = Vec::new();
        for (run, rev) in folded.into_values() {
            if matches!(run.state, State::Queued) {
                // Covers a crash between the append and the offer.
                registry.0.store.queue.offer(&run.id, CLASS, run.job, SystemTime::now()).await?;
            }
            drivers.extend(registry.publish(run, rev).1);
        }
        // Only now: whoever prepares a tree has to see what all others use.
        drivers.into_iter().for_each(|driver| registry.drive(driver));
        registry.collect_trees();
        registry.remove_earlier_originals();
        let shared = Arc::clone(&registry.0);
        // The first run need not wait for it.
        registry.0.tracker.spawn_blocking(move || drop(shared.sharing().clone()));
        let (slots, worker) = (Arc::clone(&registry.0.slots), registry.0.settings.worker.clone());
        registry.0.tracker.spawn(admission::admit(registry.clone(), slots, worker));
        Ok(registry)
    }

    /// Makes a run, durably, or finds the one that the same key made before. Returns it with the
    /// log position just before its first record.
    ///
    /// # Errors
    /// When the name is taken or the first event cannot be recorded; nothing has changed then,
    /// unless the store cannot say.
    pub async fn create(&self, new: NewRun) -> Result<Arc<Live>, CreateError> {
        let _making = self.0.making.lock().await;
        if let Some(live) = self.with_key(&new.user, &new.idempotency_key) {
            return Ok(live);
        }
        let id = self.fresh_id()?;
        let name = new.name.unwrap_or_else(|| RunName::for_command(&new.contract.command, &id));
        if self.is_taken(&new.user, &name) {
            return Err(CreateError::NameTaken(name));
        }
        let record = Record {
            seq: 1,
            at_unix_nanos: now_unix_nanos(),
            event: Event::Queued {
                id: id.clone(),
                name,
                user: new.user.as_str().to_owned(),
                idempotency_key: new.idempotency_key,
                snapshot: new.snapshot,
                contract: Box::new(new.contract),
            },
        };
        let batch = std::slice::from_ref(&record);
        let rev = self.0.store.log.append(&id, Rev::ZERO, batch).await?;
        let run = Run::open(&record).map_err(|error| AppendError::Ambiguous(error.to_string()))?;
        let (live, driver) = self.publish(run, rev);
        driver.into_iter().for_each(|driver| self.drive(driver));
        if let Err(error) = self.0.store.queue.offer(&id, CLASS, 1, SystemTime::now()).await {
            // The run is durable: the next start of the daemon offers it again.
            tracing::error!(run = %id, %error, "run not queued until the daemon restarts");
        }
        Ok(live)
    }

    /// What renews sign-ins, and is held by who changes a credential.
    #[must_use]
    pub(crate) fn renewals(&self) -> &Renewals {
        &self.0.renewals
    }

    /// The run that this key made before.
    #[must_use]
    pub fn with_key(&self, user: &UserName, key: &[u8]) -> Option<Arc<Live>> {
        self.find(|run| run.user == user.as_str() && run.idempotency_key == key)
    }

    /// Whether a run of this user began with this snapshot, so that all of it is stored.
    #[must_use]
    pub fn has_snapshot(&self, user: &UserName, snapshot: &SnapshotId) -> bool {
        self.find(|run| run.user == user.as_str() && run.snapshot == *snapshot).is_some()
    }

    /// Whether one of the user's runs has this name.
    #[must_use]
    pub fn is_taken(&self, user: &UserName, name: &RunName) -> bool {
        self.find(|run| run.user == user.as_str() && run.name == *name).is_some()
    }

    /// A user's runs, oldest first.
    #[must_use]
    pub fn list(&self, user: &UserName) -> Vec<Run> {
        let mut runs = self.0.runs_of(user);
        runs.sort_by_key(|run| (run.created_at_unix_nanos, run.id.clone()));
        runs
    }

    /// How many runs a user has.
    #[must_use]
    pub fn count(&self, user: &UserName) -> usize {
        let is_theirs = |run: &Run| run.user == user.as_str();
        self.entries().iter().filter(|entry| entry.live.with(is_theirs)).count()
    }

    /// Finds one of a user's runs.
    ///
    /// # Errors
    /// When none or several are meant.
    pub fn select(&self, user: &UserName, selector: &Selector) -> Result<Arc<Live>, SelectError> {
        let runs = self.list(user);
        let id = select(runs.iter(), selector)?.id.clone();
        self.get(&id).ok_or_else(|| SelectError::NotFound(id.to_string()))
    }

    /// One run of whatever user.
    #[must_use]
    pub fn get(&self, id: &RunId) -> Option<Arc<Live>> {
        let runs = self.0.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.get(id).map(|entry| Arc::clone(&entry.live))
    }

    /// One run of whatever user, for whoever has read its first record: a run is known a moment
    /// after that is stored.
    pub async fn get_made(&self, id: &RunId) -> Option<Arc<Live>> {
        if let Some(live) = self.get(id) {
            return Some(live);
        }
        // Whoever makes one holds this until it is known.
        let _making = self.0.making().await;
        self.get(id)
    }

    /// How many runs have not finished.
    #[must_use]
    pub fn active(&self) -> usize {
        self.entries().iter().filter(|entry| !entry.live.with(Run::is_finished)).count()
    }

    /// Asks for a run's end and waits until that is recorded.
    ///
    /// # Errors
    /// When it has finished already or nobody drives it.
    pub async fn stop(&self, live: &Live, by: &UserName) -> Result<(), StopError> {
        let mut state = live.subscribe();
        let name = live.with(|run| run.name.clone());
        if live.with(Run::is_finished) {
            return Err(StopError::Finished(name));
        }
        if !live.ask(Request::Stop { by: by.as_str().to_owned() }).await {
            return Err(StopError::NotDriven(name));
        }
        let recorded = state.wait_for(|run| run.stop_requested || run.is_finished()).await;
        recorded.map(drop).map_err(|_closed| StopError::NotDriven(name))
    }

    /// Removes a finished run: files first, then its records.
    ///
    /// # Errors
    /// When it has not finished or something of it cannot be removed.
    pub async fn remove(&self, live: &Live) -> Result<(), RemoveError> {
        let run = live.run();
        if !run.is_finished() {
            return Err(RemoveError::Unfinished(run.name));
        }
        let (layout, owner) = (self.layout(&run.id), Owner::of(&run));
        self.0
            .tracker
            .spawn_blocking(move || workspace::remove_run(&layout, owner))
            .await
            .map_err(|_panicked| StoreError::Closed)??;
        self.0.store.log.forget(&run.id).await?;
        self.0.store.queue.forget(&run.id).await?;
        self.0.runs.write().unwrap_or_else(PoisonError::into_inner).remove(&run.id);
        self.collect_trees();
        if let Ok(user) = UserName::parse(&run.user) {
            self.collect_later(user);
        }
        Ok(())
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Removes, in the background, the shared trees that no run needs any more. The newest one of
    /// each directory stays: the next handoff is a layer on it.
    fn collect_trees(&self) {
        let shared = Arc::clone(&self.0);
        self.0.tracker.spawn_blocking(move || {
            let collected = shared.trees.collect(|| shared.snapshots_in_use());
            if let Err(error) = collected {
                // What is left is tried again next time.
                tracing::warn!("trees are not collected: {:#}", anyhow::Error::from(error));
            }
        });
    }

    /// Removes, in the background, the originals from before the machine's start.
    fn remove_earlier_originals(&self) {
        let shared = Arc::clone(&self.0);
        self.0.tracker.spawn_blocking(move || {
            if let Err(error) = shared.originals.remove_earlier() {
                // What is left is tried again at the next start.
                tracing::warn!("old shared files stay: {:#}", anyhow::Error::from(error));
            }
        });
    }

    /// Where a run's files are.
    #[must_use]
    pub fn layout(&self, id: &RunId) -> Layout {
        self.0.layout(id)
    }

    /// What runs depend on.
    #[must_use]
    pub fn settings(&self) -> &RunSettings {
        &self.0.settings
    }

    /// What is promised to uploads under way.
    #[must_use]
    pub fn quotas(&self) -> &Quotas {
        &self.0.quotas
    }

    /// The manifests used last.
    #[must_use]
    pub fn snapshots(&self) -> &Snapshots {
        &self.0.snapshots
    }

    /// The interfaces to everything stored.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// How runs get their trees; unknown until that has been tried, soon after the start.
    #[must_use]
    pub fn sharing(&self) -> Option<Sharing> {
        self.0.sharing.get().cloned()
    }

    /// Where blocking work and streams are accounted for.
    #[must_use]
    pub fn tracker(&self) -> &TaskTracker {
        &self.0.tracker
    }

    /// Ends when the daemon stops.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Refuses what would leave less free on the state's disk than the operator's reserve.
    ///
    /// # Errors
    /// When that is so, or the system does not tell.
    pub fn check_room(&self, needed_bytes: u64) -> Result<(), super::RoomError> {
        self.0.check_room(needed_bytes)
    }

    /// Gives a claim to a queued run's driver, or back.
    pub(super) fn hand_over(&self, id: &RunId, claim: Claim) -> Result<(), Claim> {
        let entry = {
            let runs = self.0.runs.read().unwrap_or_else(PoisonError::into_inner);
            runs.get(id).cloned()
        };
        match entry {
            Some(entry) if entry.live.with(|run| matches!(run.state, State::Queued)) => {
                entry.claims.try_send(claim).map_err(mpsc::error::TrySendError::into_inner)
            }
            Some(_) | None => Err(claim),
        }
    }

    pub(super) fn admission_parts(
        &self,
    ) -> (Arc<dyn crate::store::RunQueue>, TaskTracker, CancellationToken) {
        let shared = &self.0;
        (Arc::clone(&shared.store.queue), shared.tracker.clone(), shared.stopping.clone())
    }

    /// Makes a run known; one that has not finished gets a driver, which is still to be started.
    fn publish(&self, run: Run, rev: Rev) -> (Arc<Live>, Option<Driver>) {
        let shared = &self.0;
        let (live, requests) = Live::new(run.clone());
        let live = Arc::new(live);
        let (claims, claimed) = mpsc::channel(1);
        let entry = Entry { live: Arc::clone(&live), claims };
        let id = run.id.clone();
        shared.runs.write().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
        if run.is_finished() {
            return (live, None);
        }
        let journal = Journal::new(Arc::clone(&shared.store.log), Arc::clone(&live), run, rev);
        let driver = Driver::new(Arc::clone(shared), journal, requests, claimed);
        (live, Some(driver))
    }

    pub(super) fn drive(&self, driver: Driver) {
        let stopping = self.0.stopping.clone();
        // Dropping a driver at any point is like a crash there: the log tells how to go on.
        self.0.tracker.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = driver.drive() => {}
            }
        });
    }

    fn fresh_id(&self) -> Result<RunId, CreateError> {
        loop {
            let mut random = [0; RUN_ID_LEN];
            getrandom::fill(&mut random).map_err(CreateError::Random)?;
            let id = RunId::from_random(random);
            if self.get(&id).is_none() {
                return Ok(id);
            }
        }
    }

    fn find(&self, wanted: impl Fn(&Run) -> bool) -> Option<Arc<Live>> {
        self.entries().into_iter().map(|entry| entry.live).find(|live| live.with(&wanted))
    }

    fn entries(&self) -> Vec<Entry> {
        self.0.entries()
    }
}
