//! The runs of this daemon: made, found, stopped, removed; each has one driver.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::SystemTime,
};

use handoff_proto::{
    manifest::SnapshotId,
    run::{Contract, Event, IllegalEvent, RUN_ID_LEN, Record, Run, RunId, RunName, State},
};
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Live, Request, SelectError, Selector,
    admission::{self, CLASS, Claim},
    driver::Driver,
    journal::{Journal, now_unix_nanos},
    select::select,
};
use crate::{
    config::Config,
    store::{AppendError, Quotas, Rev, Store, StoreError, UserName},
    workspace::{self, Layout, Owner, Sharing, Snapshots, Trees, View, WorkspaceError},
};

/// Lowest of the uids that runs get on a root daemon: above what distributions, subordinate id
/// ranges and systemd's containers (which end at 0x6FFFFFFF) use.
const HOST_UID_FIRST: u32 = 0x7000_0000;

/// How many records are read at once on recovery.
const RECOVERY_BATCH: usize = 1000;

/// Everything about this daemon that runs depend on.
#[derive(Debug)]
pub struct RunSettings {
    /// The operator's settings.
    pub config: Config,
    /// Where the daemon keeps its state.
    pub state: PathBuf,
    /// What this worker is called in claims.
    pub worker: String,
    /// Programs beside the system's.
    pub tools: workspace::Tools,
}

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

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) settings: RunSettings,
    pub(super) tracker: TaskTracker,
    pub(super) stopping: CancellationToken,
    pub(super) slots: Arc<Semaphore>,
    quotas: Quotas,
    pub(super) trees: Trees,
    pub(super) snapshots: Snapshots,
    /// Why runs get copies, if they do; found out when the first one starts.
    sharing: OnceLock<Sharing>,
    runs: RwLock<BTreeMap<RunId, Entry>>,
    /// Read while content is stored that no run needs yet, written while content is removed.
    pub(super) storing: Arc<tokio::sync::RwLock<()>>,
    /// Held by whoever removes content: one after the other.
    pub(super) collecting: Mutex<()>,
    /// Held while a run is made or claimed, so that names, keys and uids stay unique.
    making: Mutex<()>,
}

#[derive(Clone, Debug)]
struct Entry {
    live: Arc<Live>,
    claims: mpsc::Sender<Claim>,
}

/// The registry could not start.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The log cannot be read.
    #[error("cannot read the runs' log")]
    Store(#[from] StoreError),
    /// What a crash left of a tree cannot be removed.
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
        let slots = Arc::new(Semaphore::new(settings.config.runs.concurrent as usize));
        let folded = fold_all(&store).await?;
        let trees = Trees::new(&settings.state);
        trees.clean()?;
        let registry = Self(Arc::new(Shared {
            store,
            settings,
            tracker,
            stopping,
            slots: Arc::clone(&slots),
            quotas: Quotas::default(),
            trees,
            snapshots: Snapshots::default(),
            sharing: OnceLock::new(),
            runs: RwLock::default(),
            storing: Arc::default(),
            collecting: Mutex::default(),
            making: Mutex::default(),
        }));
        let mut drivers = Vec::new();
        for (run, rev) in folded.into_values() {
            if matches!(run.state, State::Queued) {
                // Covers a crash between the append and the offer.
                registry.0.store.queue.offer(&run.id, CLASS, 1, SystemTime::now()).await?;
            }
            drivers.extend(registry.publish(run, rev).1);
        }
        // Only now: whoever prepares a tree has to see what all others use.
        drivers.into_iter().for_each(|driver| registry.drive(driver));
        registry.collect_trees();
        let shared = Arc::clone(&registry.0);
        // The first run need not wait for it.
        registry.0.tracker.spawn_blocking(move || drop(shared.sharing().clone()));
        let worker = registry.0.settings.worker.clone();
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
        let mut runs: Vec<Run> = self
            .entries()
            .iter()
            .filter(|entry| entry.live.with(|run| run.user == user.as_str()))
            .map(|entry| entry.live.run())
            .collect();
        runs.sort_by_key(|run| (run.created_at_unix_nanos, run.id.clone()));
        runs
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
        let directory = self.layout(&run.id).run().to_owned();
        self.0
            .tracker
            .spawn_blocking(move || workspace::remove(&directory))
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

    /// Free bytes on the disk that holds the state.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn free_bytes(&self) -> std::io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.0.settings.state)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
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

    fn drive(&self, driver: Driver) {
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

impl Shared {
    pub(super) fn layout(&self, id: &RunId) -> Layout {
        Layout::new(self.settings.state.join("runs").join(id.as_str()))
    }

    /// Whose trees have to stay: every run's, as it can be pulled or go on until it is removed.
    pub(super) fn snapshots_in_use(&self) -> HashSet<(UserName, SnapshotId)> {
        let entries = self.entries();
        let used = entries.iter().filter_map(|entry| {
            entry.live.with(|run| Some((UserName::parse(&run.user).ok()?, run.snapshot)))
        });
        used.collect()
    }

    /// Whose trees have to stay as they are: those of runs that have not finished.
    fn snapshots_of_active(&self) -> HashSet<(UserName, SnapshotId)> {
        let entries = self.entries();
        let active = entries.iter().filter_map(|entry| {
            let used = |run: &Run| Some((UserName::parse(&run.user).ok()?, run.snapshot));
            entry.live.with(|run| if run.is_finished() { None } else { used(run) })
        });
        active.collect()
    }

    /// All runs of a user, as they are now.
    pub(super) fn runs_of(&self, user: &UserName) -> Vec<Run> {
        let entries = self.entries();
        let runs = entries.iter().map(|entry| entry.live.run());
        runs.filter(|run| run.user == user.as_str()).collect()
    }

    fn sharing(&self) -> &Sharing {
        self.sharing.get_or_init(|| {
            let found = Sharing::find(&self.settings.state);
            if let Sharing::Copy { why } = &found {
                tracing::info!("each run gets a copy of its tree: {why}");
            }
            found
        })
    }

    /// A new run's tree, as cheaply as this machine can make it. Blocks.
    pub(super) fn fresh_view(
        &self,
        run: &Run,
        user: &UserName,
        layout: &Layout,
    ) -> Result<View, WorkspaceError> {
        let blobs = &*self.store.blobs;
        let owner = Owner::of(run);
        if matches!(self.sharing(), Sharing::Overlay) {
            let in_use = || self.snapshots_of_active();
            let tree = self.trees.prepare(blobs, &self.snapshots, user, run.snapshot, in_use)?;
            return View::fresh(layout, tree, owner);
        }
        let snapshot = self.snapshots.read(blobs, user, run.snapshot)?;
        workspace::materialise(blobs, user, &snapshot.manifest, layout, owner)?;
        Ok(View::Copy)
    }

    /// The tree of a run that was prepared before. Blocks.
    pub(super) fn view(
        &self,
        run: &Run,
        user: &UserName,
        layout: &Layout,
    ) -> Result<View, WorkspaceError> {
        if !layout.changes().exists() {
            return Ok(View::Copy);
        }
        let in_use = || self.snapshots_of_active();
        // Made again if the machine went down before it had reached the disk.
        let (blobs, snapshots) = (&*self.store.blobs, &self.snapshots);
        Ok(View::Overlay(self.trees.prepare(blobs, snapshots, user, run.snapshot, in_use)?))
    }

    /// The lowest uid that no run on this daemon has, where the daemon is root and can give it.
    pub(super) fn free_host_uid(&self) -> Option<NonZeroU32> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let used: HashSet<u32> = self
            .entries()
            .iter()
            .filter_map(|entry| entry.live.with(|run| run.host_uid))
            .map(NonZeroU32::get)
            .collect();
        (HOST_UID_FIRST..).find(|uid| !used.contains(uid)).and_then(NonZeroU32::new)
    }

    /// Holds off other claims while a uid is chosen and recorded.
    pub(super) async fn making(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    fn entries(&self) -> Vec<Entry> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.values().cloned().collect()
    }
}

/// Folds the whole log into its runs.
async fn fold_all(store: &Store) -> Result<BTreeMap<RunId, (Run, Rev)>, RegistryError> {
    let mut runs: BTreeMap<RunId, (Run, Rev)> = BTreeMap::new();
    let mut after = Rev::ZERO;
    loop {
        let batch = store.log.scan(after, RECOVERY_BATCH).await?;
        if batch.is_empty() {
            return Ok(runs);
        }
        for (rev, id, record) in batch {
            let folded = match runs.get_mut(&id) {
                None => Run::open(&record).map(|run| {
                    runs.insert(id.clone(), (run, rev));
                }),
                Some((run, at)) => run.apply(&record).map(|()| *at = rev),
            };
            folded.map_err(|source| RegistryError::Damaged { run: id, source })?;
            after = rev;
        }
    }
}
