//! Entries of git's index, as far as they are content rather than a cache of the file system.

use prost::Message as _;

use crate::path::TreePath;
use crate::wire;

use super::oid::Oid;

/// One entry of an index, without the stat data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Relative to the repository.
    pub path: TreePath,
    /// 0o100644, 0o100755, 0o120000 or 0o160000.
    pub mode: u32,
    /// The object that is staged; zero for an intent to add in some versions of git.
    pub oid: Oid,
    /// 0, or 1 to 3 in a conflict.
    pub stage: u8,
    /// What git keeps about the entry besides.
    pub flags: IndexFlags,
}

/// Flags of an index entry; a set of the constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IndexFlags(u8);

impl IndexFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `git update-index --assume-unchanged`.
    pub const ASSUME_UNCHANGED: Self = Self(1);
    /// `git update-index --skip-worktree`, also by sparse checkout.
    pub const SKIP_WORKTREE: Self = Self(2);
    /// `git add --intent-to-add`.
    pub const INTENT_TO_ADD: Self = Self(4);

    /// The flags of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits as they are stored.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Reads what [`bits`](Self::bits) wrote; `None` for unknown flags.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits < 8 { Some(Self(bits)) } else { None }
    }
}

impl IndexEntry {
    /// Whether git knows such a mode.
    pub(super) fn has_valid_mode(&self) -> bool {
        matches!(self.mode, 0o100_644 | 0o100_755 | 0o120_000 | 0o160_000)
    }

    /// git's order: by the plain bytes of the path, then by stage.
    #[must_use]
    pub fn sort_key(&self) -> (&[u8], u8) {
        (self.path.as_bytes(), self.stage)
    }

    pub(super) fn to_stored(&self) -> wire::StoredIndexEntry {
        wire::StoredIndexEntry {
            path: self.path.as_bytes().to_vec(),
            mode: self.mode,
            oid: self.oid.as_bytes().to_vec(),
            stage: self.stage.into(),
            flags: self.flags.bits().into(),
        }
    }
}

/// The BLAKE3 of an index's canonical encoding.
///
/// The order of `entries` does not matter: they are taken in git's. Each is encoded as the stored
/// message with its length before it. Two indexes have the same digest exactly if they stage the
/// same content with the same flags, whatever their stat data and extensions.
#[must_use]
pub fn index_digest(entries: &[IndexEntry]) -> [u8; 32] {
    let mut sorted: Vec<&IndexEntry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.sort_key());
    let mut hasher = blake3::Hasher::new();
    let mut encoded = Vec::new();
    for entry in sorted {
        encoded.clear();
        entry.to_stored().encode_length_delimited(&mut encoded).expect("a vector grows as needed");
        hasher.update(&encoded);
    }
    *hasher.finalize().as_bytes()
}
