//! What the registry, the drivers and collections share: stores, limits, the runs there are.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use handoff_proto::{
    manifest::SnapshotId,
    run::{Run, RunId},
};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Live, RoomError,
    admission::Claim,
    host_uids::{HostUids, NoneFree},
};
use crate::{
    config::Config,
    credentials::Credentials,
    sign_in::Renewals,
    store::{Quotas, Store, UserName},
    workspace::{self, Layout, Originals, Owner, Sharing, Snapshots, Trees, View, WorkspaceError},
};

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
    /// Where the uids of runs on the host come from.
    pub host_uids: HostUids,
}

/// What all of them hold one of.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) settings: RunSettings,
    pub(super) tracker: TaskTracker,
    pub(super) stopping: CancellationToken,
    pub(super) slots: Arc<Semaphore>,
    pub(super) quotas: Quotas,
    pub(super) trees: Trees,
    pub(super) originals: Originals,
    pub(super) snapshots: Snapshots,
    /// Why runs get copies, if they do; found out when the first one starts.
    pub(super) sharing: OnceLock<Sharing>,
    pub(super) runs: RwLock<BTreeMap<RunId, Entry>>,
    /// Read while content is stored that no run needs yet, written while content is removed.
    pub(super) storing: Arc<tokio::sync::RwLock<()>>,
    /// Held by whoever removes content: one after the other.
    pub(super) collecting: Mutex<()>,
    /// Renews the sign-ins that runs use.
    pub(super) renewals: Arc<Renewals>,
    /// Held while a run is made or claimed, so that names, keys and uids stay unique.
    pub(super) making: Mutex<()>,
}

/// A run, and where its driver takes claims.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) live: Arc<Live>,
    pub(super) claims: mpsc::Sender<Claim>,
}

impl Shared {
    /// With no run yet.
    pub(super) fn new(
        store: Store,
        settings: RunSettings,
        tracker: TaskTracker,
        stopping: CancellationToken,
        trees: Trees,
        originals: Originals,
    ) -> Self {
        Self {
            renewals: Arc::new(Renewals::new(Credentials::new(&settings.state))),
            slots: Arc::new(Semaphore::new(settings.config.runs.concurrent as usize)),
            store,
            settings,
            tracker,
            stopping,
            quotas: Quotas::default(),
            trees,
            originals,
            snapshots: Snapshots::default(),
            sharing: OnceLock::new(),
            runs: RwLock::default(),
            storing: Arc::default(),
            collecting: Mutex::default(),
            making: Mutex::default(),
        }
    }

    pub(super) fn layout(&self, id: &RunId) -> Layout {
        Layout::new(Layout::of_runs(&self.settings.state).join(id.as_str()))
    }

    /// Whose trees have to stay: every run's, as it can be pulled or go on until it is removed.
    pub(super) fn snapshots_in_use(&self) -> HashSet<(UserName, SnapshotId)> {
        self.snapshots_of(|_| true)
    }

    /// Whose trees have to stay as they are: those of runs that have not finished.
    fn snapshots_of_active(&self) -> HashSet<(UserName, SnapshotId)> {
        self.snapshots_of(|run| !run.is_finished())
    }

    fn snapshots_of(&self, wanted: impl Fn(&Run) -> bool) -> HashSet<(UserName, SnapshotId)> {
        let used = |run: &Run| Some((UserName::parse(&run.user).ok()?, run.snapshot));
        let entries = self.entries();
        let found = entries
            .iter()
            .filter_map(|entry| entry.live.with(|run| if wanted(run) { used(run) } else { None }));
        found.collect()
    }

    /// All runs of a user, as they are now.
    pub(super) fn runs_of(&self, user: &UserName) -> Vec<Run> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.live.with(|run| run.user == user.as_str()));
        entries.iter().map(|entry| entry.live.run()).collect()
    }

    pub(super) fn sharing(&self) -> &Sharing {
        self.sharing.get_or_init(|| {
            let found = Sharing::find(&self.settings.state);
            match &found {
                Sharing::Overlay => {}
                Sharing::Reflink { why } => {
                    tracing::info!("trees of runs share the blocks of larger files: {why}");
                }
                Sharing::Copy { why } => tracing::info!("each run gets a copy of its tree: {why}"),
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
        let originals = match self.sharing() {
            Sharing::Overlay => {
                let in_use = || self.snapshots_of_active();
                let tree =
                    self.trees.prepare(blobs, &self.snapshots, user, run.snapshot, in_use)?;
                return View::fresh(layout, tree, owner);
            }
            Sharing::Reflink { .. } => Some(&self.originals),
            Sharing::Copy { .. } => None,
        };
        let snapshot = self.snapshots.read(blobs, user, run.snapshot)?;
        workspace::materialise(blobs, user, &snapshot.manifest, layout, owner, originals)?;
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

    /// A uid that no run on this daemon has, where it can give one.
    pub(super) fn free_host_uid(&self) -> Result<Option<NonZeroU32>, NoneFree> {
        let used: HashSet<u32> = self
            .entries()
            .iter()
            .filter_map(|entry| entry.live.with(|run| run.host_uid))
            .map(NonZeroU32::get)
            .collect();
        self.settings.host_uids.free(&used)
    }

    /// Refuses what would leave less free than the operator's reserve, or comes when less is free.
    pub(super) fn check_room(&self, needed_bytes: u64) -> Result<(), RoomError> {
        let (state, reserve_bytes) =
            (&self.settings.state, self.settings.config.store.reserve_bytes);
        let disk = rustix::fs::statvfs(state).map_err(std::io::Error::from)?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free_bytes < needed_bytes.saturating_add(reserve_bytes) {
            return Err(RoomError::Full { free_bytes, needed_bytes, reserve_bytes });
        }
        Ok(())
    }

    /// Holds off other claims while a uid is chosen and recorded.
    pub(super) async fn making(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    /// Has a run's next driver take its claims; none if the run was removed.
    pub(super) fn take_claims(&self, id: &RunId, claims: mpsc::Sender<Claim>) -> Option<Arc<Live>> {
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let entry = runs.get_mut(id)?;
        entry.claims = claims;
        Some(Arc::clone(&entry.live))
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.values().cloned().collect()
    }
}
