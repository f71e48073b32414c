//! What of a manifest changed since one that the remote is believed to have.

use bytes::Bytes;
use handoff_proto::manifest::{SnapshotId, delta};

/// A snapshot that a remote confirmed earlier.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id.
    pub id: SnapshotId,
    /// Its encoded manifest.
    pub encoded: Bytes,
}

/// What makes a manifest of a known one.
#[derive(Debug)]
pub struct Delta {
    pub(super) base: SnapshotId,
    pub(super) steps: Vec<u8>,
}

impl Delta {
    /// None where the two have little in common.
    #[must_use]
    pub fn new(known: &Known, encoded: &[u8]) -> Option<Self> {
        let steps = delta(&known.encoded, encoded);
        let worth_it = steps.len() < encoded.len() / 2;
        worth_it.then_some(Self { base: known.id, steps })
    }
}
