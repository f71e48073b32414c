//! Removes what no run needs: content that only removed runs used, trees and originals made of it.
//!
//! What is needed is found anew each time, from the runs that there are: no counter can be wrong.
//! A run that cannot be read keeps everything of its user. While something is being stored nothing
//! is removed, and the other way round, since content is there before the run that needs it.

use std::{collections::HashSet, sync::Arc};

use handoff_proto::{
    chunk::ChunkId,
    manifest::{Limits, ManifestError, ResultManifest, SnapshotManifest},
    run::Run,
};
use thiserror::Error;
use tokio::sync::OwnedRwLockReadGuard;

use super::{registry::Registry, shared::Shared};
use crate::{
    store::{BlobError, StoreError, UserName},
    workspace::{OriginalIds, WorkspaceError},
};

/// How many blobs one transaction removes: others may write in between.
const BATCH: usize = 4096;

/// Whether to remove what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    /// Yes.
    Remove,
    /// Only count.
    Count,
}

/// What was, or would be, removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Chunks and manifests.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Shared trees; not counted without removing them.
    pub trees: u64,
    /// Files that trees shared blocks with.
    pub originals: u64,
}

/// What of one user was, or would be, removed.
struct OfUser {
    blobs: u64,
    bytes: u64,
    originals: Result<u64, WorkspaceError>,
}

/// Not everything was removed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// An upload or a harvest is going on.
    #[error("something is being stored just now")]
    Busy,
    /// A manifest that says what is needed cannot be read.
    #[error("cannot read what run {run} needs")]
    Needed {
        /// The run.
        run: String,
        /// Why.
        source: NeededError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trees.
    #[error("cannot remove trees")]
    Trees(#[from] WorkspaceError),
    /// The originals; everything else was removed, or counted.
    #[error("cannot remove shared files")]
    Originals(#[source] WorkspaceError),
}

/// Why a manifest cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NeededError {
    /// It is not there.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// It is damaged.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Content that is stored while this is held is not taken away.
#[derive(Debug)]
pub struct Storing(#[expect(dead_code, reason = "held, not looked at")] OwnedRwLockReadGuard<()>);

impl Registry {
    /// Keeps collections out while content is stored that no run needs yet.
    pub async fn storing(&self) -> Storing {
        self.shared().storing().await
    }

    /// Removes the content of all users, and the trees, that no run needs.
    ///
    /// # Errors
    ///
    /// When something is being stored, or cannot be read or removed; what was removed until then
    /// stays removed.
    pub async fn collect(&self, mode: Collect) -> Result<Collected, CollectError> {
        let shared = self.shared();
        let mut collected = Collected::default();
        let mut failed = None;
        let mut users: HashSet<UserName> = shared.store.blobs.owners().await?.into_iter().collect();
        // Some have originals only: these could not be removed when the content was.
        match shared.originals.users() {
            Ok(names) => users.extend(names.iter().filter_map(|user| UserName::parse(user).ok())),
            Err(error) => failed = Some(error),
        }
        for user in users {
            let of_user = collect_user(shared, &user, mode).await?;
            collected.blobs += of_user.blobs;
            collected.bytes += of_user.bytes;
            match of_user.originals {
                Ok(originals) => collected.originals += originals,
                Err(error) => failed = Some(error),
            }
        }
        if mode == Collect::Remove {
            let shared = Arc::clone(shared);
            let trees = shared
                .tracker
                .clone()
                .spawn_blocking(move || shared.trees.collect(|| shared.snapshots_in_use()));
            let trees = trees.await.map_err(|_panicked| StoreError::Closed)??;
            collected.trees = trees.len() as u64;
        }
        failed.map_or(Ok(collected), |error| Err(CollectError::Originals(error)))
    }

    /// Removes one user's content in the background, after a run was removed.
    pub(super) fn collect_later(&self, user: UserName) {
        let shared = Arc::clone(self.shared());
        self.tracker().spawn(async move {
            match collect_user(&shared, &user, Collect::Remove).await {
                Ok(OfUser { blobs, bytes, originals }) => {
                    tracing::debug!(%user, blobs, bytes, "collected");
                    if let Err(error) = originals {
                        let error = anyhow::Error::from(error);
                        tracing::warn!(%user, "shared files not collected: {error:#}");
                    }
                }
                // The next removal does it, or the operator.
                Err(CollectError::Busy) => {}
                Err(error) => {
                    tracing::warn!(%user, "not collected: {:#}", anyhow::Error::from(error));
                }
            }
        });
    }
}

impl Shared {
    /// See [`Registry::storing`].
    pub(super) async fn storing(&self) -> Storing {
        Storing(Arc::clone(&self.storing).read_owned().await)
    }
}

async fn collect_user(
    shared: &Arc<Shared>,
    user: &UserName,
    mode: Collect,
) -> Result<OfUser, CollectError> {
    let _turn = shared.collecting.lock().await;
    let alone = Arc::clone(&shared.storing);
    let _alone = alone.try_write_owned().map_err(|_held| CollectError::Busy)?;
    let needed = {
        let (shared, user) = (Arc::clone(shared), user.clone());
        let tracker = shared.tracker.clone();
        let needed = tracker.spawn_blocking(move || needed(&shared, &user));
        needed.await.map_err(|_panicked| StoreError::Closed)??
    };
    let originals = {
        let (shared, user) = (Arc::clone(shared), user.clone());
        let ids = needed.originals;
        let tracker = shared.tracker.clone();
        let removed = tracker.spawn_blocking(move || originals(&shared, &user, &ids, mode));
        removed.await.map_err(|_panicked| StoreError::Closed)?
    };
    let blobs = &shared.store.blobs;
    let mut garbage = blobs.list(user).await?;
    garbage.retain(|(id, _)| !needed.chunks.contains(id));
    if mode == Collect::Remove {
        for batch in garbage.chunks(BATCH) {
            let ids: Vec<ChunkId> = batch.iter().map(|(id, _)| *id).collect();
            blobs.delete(user, &ids).await?;
        }
    }
    let bytes = garbage.iter().map(|(_, bytes)| bytes).sum();
    Ok(OfUser { blobs: garbage.len() as u64, bytes, originals })
}

/// Removes, or counts, the originals that hold nothing that is needed. Blocks.
fn originals(
    shared: &Shared,
    user: &UserName,
    needed: &OriginalIds,
    mode: Collect,
) -> Result<u64, WorkspaceError> {
    let garbage = shared.originals.garbage(user, needed)?;
    if mode == Collect::Remove {
        shared.originals.remove(&garbage)?;
    }
    Ok(garbage.len() as u64)
}

/// What the runs of a user are made of.
#[derive(Default)]
struct Needed {
    chunks: HashSet<ChunkId>,
    originals: OriginalIds,
}

/// All that the runs of a user are made of. Blocks.
fn needed(shared: &Shared, user: &UserName) -> Result<Needed, CollectError> {
    let mut needed = Needed::default();
    for run in shared.runs_of(user) {
        of_run(shared, user, &run, &mut needed)
            .map_err(|source| CollectError::Needed { run: run.name.to_string(), source })?;
    }
    Ok(needed)
}

fn of_run(
    shared: &Shared,
    user: &UserName,
    run: &Run,
    needed: &mut Needed,
) -> Result<(), NeededError> {
    let snapshot = ChunkId::from_bytes(*run.snapshot.as_bytes());
    // Runs of one snapshot are many, and so are its chunks.
    if needed.chunks.insert(snapshot) {
        let encoded = shared.store.blobs.read_blocking(user, &snapshot)?;
        let manifest = SnapshotManifest::decode(&encoded, &Limits::DEFAULT)?;
        needed.originals.add(&manifest.entries);
        needed.chunks.extend(manifest.chunks().map(|chunk| chunk.id));
    }
    let result = run.harvest.as_ref().and_then(|harvest| harvest.result);
    if let Some(result) = result.map(|id| ChunkId::from_bytes(*id.as_bytes()))
        && needed.chunks.insert(result)
    {
        let encoded = shared.store.blobs.read_blocking(user, &result)?;
        let manifest = ResultManifest::decode(&encoded, &Limits::DEFAULT)?;
        needed.chunks.extend(manifest.chunks().map(|chunk| chunk.id));
    }
    Ok(())
}
