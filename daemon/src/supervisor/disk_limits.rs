//! What a job may write to the host's disk, as data and in words.

use std::fmt;

use handoff_sandbox::{Layer, LayerState};
use serde::{Deserialize, Serialize};

use super::disk_quota::{NoQuota, hard};

/// Allocated bytes for which a job gets one inode: what mke2fs makes of a disk.
const BYTES_PER_FILE: u64 = 16 * 1024;

/// Files that any job may make, however few bytes it has.
const FILES_MIN: u64 = 65_536;

/// Bounds what all steps of a job together write where their policies let them: in mounts and
/// overlays for reading and writing. What was there before the first step does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLimits {
    /// Allocated bytes.
    pub bytes: u64,
    /// Files, directories and whatever else has an inode.
    pub files: u64,
    /// So many bytes stay free on each disk that is written to: below that, a job that has written
    /// something ends.
    pub reserve_bytes: u64,
}

/// Tells what a job did that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// It wrote more than so many bytes.
    Bytes(u64),
    /// It made more than so many files.
    Files(u64),
    /// It nested directories so that they cannot be measured.
    Depth,
    /// Less than so many bytes are free on the disk, and it has written there.
    Reserve(u64),
    /// What it writes cannot be seen any more.
    Unseen,
}

impl DiskLimits {
    /// The limits of a job that may write so many bytes.
    #[must_use]
    pub fn new(bytes: u64, reserve_bytes: u64) -> Self {
        Self { bytes, files: (bytes / BYTES_PER_FILE).max(FILES_MIN), reserve_bytes }
    }

    /// The layer of isolation that they are, for a job whose directory has a quota group unless
    /// there is a reason.
    pub(super) fn layer(&self, without: Option<&NoQuota>) -> Layer {
        let Self { bytes, files, .. } = *self;
        let (state, how) = match without {
            None => (LayerState::InForce, "hard (btrfs quota group)".to_owned()),
            Some(NoQuota::Caches) => {
                let how = "hard (btrfs quota group), but for caches, which are watched";
                (LayerState::Partial, how.to_owned())
            }
            Some(why) => (LayerState::Partial, format!("watched, {why}")),
        };
        Layer { state, detail: format!("{how}: {}, {files} files", Size(bytes)), ..hard() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(limit) => write!(f, "disk limit of {}", Size(*limit)),
            Self::Files(limit) => write!(f, "disk limit of {limit} files"),
            Self::Depth => f.write_str("disk limit: directories nested too deep to be measured"),
            Self::Reserve(reserve) => {
                write!(f, "disk of the daemon is full: less than {} is free", Size(*reserve))
            }
            Self::Unseen => f.write_str("what the run writes to the disk cannot be measured"),
        }
    }
}

/// A size in the largest unit that tells it exactly, as in settings.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let exact = units.into_iter().find(|(bits, _)| self.0 >> bits << bits == self.0);
        match exact.filter(|_| self.0 > 0) {
            Some((bits, unit)) => write!(f, "{} {unit}", self.0 >> bits),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_they_are_set() {
        for (breach, text) in [
            (Breach::Bytes(20 << 30), "disk limit of 20 GiB"),
            (Breach::Bytes(1536 << 20), "disk limit of 1536 MiB"),
            (Breach::Bytes(1000), "disk limit of 1000 bytes"),
            (Breach::Files(65_536), "disk limit of 65536 files"),
            (Breach::Reserve(1 << 30), "disk of the daemon is full: less than 1 GiB is free"),
        ] {
            assert_eq!(breach.to_string(), text);
        }
    }

    #[test]
    fn a_small_limit_still_allows_for_a_project() {
        assert_eq!(DiskLimits::new(20 << 30, 0).files, 1_310_720);
        assert_eq!(DiskLimits::new(1 << 20, 0).files, 65_536);
    }
}
