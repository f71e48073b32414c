//! The manifests of snapshots; those used last stay in memory, as whoever takes a manifest in, makes
//! its tree and puts the next one on it wants the same.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{Limits, SnapshotId, SnapshotManifest};

use super::error::WorkspaceError;
use crate::store::{BlobStore, UserName};

/// So many bytes of encoded manifests stay in memory; decoded they take about four times as much
/// besides. Manifests of 100,000 files have 8 MB.
const RECENT_BYTES_MAX: usize = 24 << 20;

/// A snapshot's manifest.
#[derive(Debug)]
pub struct Snapshot {
    /// What it says.
    pub manifest: SnapshotManifest,
    /// Its canonical encoding.
    pub encoded: Bytes,
}

/// The manifests used last.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// The newest first.
    recent: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    user: UserName,
    id: SnapshotId,
    snapshot: Arc<Snapshot>,
}

impl Snapshot {
    /// Reads a manifest that was encoded here or came from a client.
    ///
    /// # Errors
    ///
    /// When it is damaged.
    pub fn decode(encoded: Bytes) -> Result<Self, handoff_proto::manifest::ManifestError> {
        let manifest = SnapshotManifest::decode(&encoded, &Limits::DEFAULT)?;
        Ok(Self { manifest, encoded })
    }
}

impl Snapshots {
    /// The manifest of one of a user's snapshots. Blocks.
    ///
    /// # Errors
    ///
    /// When it is missing or damaged.
    pub fn read(
        &self,
        blobs: &dyn BlobStore,
        user: &UserName,
        id: SnapshotId,
    ) -> Result<Arc<Snapshot>, WorkspaceError> {
        if let Some(snapshot) = self.recent(user, id) {
            return Ok(snapshot);
        }
        let chunk = ChunkId::from_bytes(*id.as_bytes());
        let encoded = blobs.read_blocking(user, &chunk).map_err(WorkspaceError::Snapshot)?;
        let snapshot = Arc::new(Snapshot::decode(encoded)?);
        self.keep(user, id, Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// The same if it was used a short while ago.
    #[must_use]
    pub fn recent(&self, user: &UserName, id: SnapshotId) -> Option<Arc<Snapshot>> {
        let recent = self.lock();
        let found = recent.iter().find(|kept| kept.id == id && kept.user == *user)?;
        Some(Arc::clone(&found.snapshot))
    }

    /// Keeps one for whoever wants it next.
    pub fn keep(&self, user: &UserName, id: SnapshotId, snapshot: Arc<Snapshot>) {
        let mut recent = self.lock();
        recent.retain(|kept| kept.id != id || kept.user != *user);
        recent.push_front(Kept { user: user.clone(), id, snapshot });
        let mut bytes = 0;
        let stay = recent.iter().take_while(|kept| {
            bytes += kept.snapshot.encoded.len();
            bytes <= RECENT_BYTES_MAX
        });
        let stay = stay.count();
        let gone = recent.split_off(stay);
        drop(recent);
        if !gone.is_empty() {
            // A hundred thousand small pieces take milliseconds, for which nobody should wait.
            drop(thread::Builder::new().spawn(move || drop(gone)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::manifest::{Timestamp, VERSION};

    use super::*;

    fn snapshot(bytes: usize) -> Arc<Snapshot> {
        let manifest = SnapshotManifest {
            version: VERSION,
            root: "/home/a".parse().unwrap(),
            root_mode: 0o755,
            root_mtime: Timestamp::default(),
            entries: Vec::new(),
            repositories: Vec::new(),
            session: None,
        };
        Arc::new(Snapshot { manifest, encoded: vec![0; bytes].into() })
    }

    #[test]
    fn the_oldest_go_first_and_none_is_shown_to_another_user() {
        let (ada, bob) = (UserName::parse("ada").unwrap(), UserName::parse("bob").unwrap());
        let id = |byte| SnapshotId::from_bytes([byte; 32]);
        let snapshots = Snapshots::default();
        for byte in 0..4 {
            snapshots.keep(&ada, id(byte), snapshot(RECENT_BYTES_MAX / 3));
        }
        let kept = |byte| snapshots.recent(&ada, id(byte)).is_some();
        assert_eq!([0, 1, 2, 3].map(kept), [false, true, true, true]);
        assert!(snapshots.recent(&bob, id(3)).is_none());
        snapshots.keep(&ada, id(3), snapshot(1));
        snapshots.keep(&bob, id(3), snapshot(1));
        assert_eq!([0, 1, 2, 3].map(kept), [false, true, true, true], "no one is counted twice");
        snapshots.keep(&ada, id(4), snapshot(RECENT_BYTES_MAX + 1));
        assert!(snapshots.recent(&ada, id(4)).is_none(), "too large to stay");
    }
}
