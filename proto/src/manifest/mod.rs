//! What a snapshot and a result say: which files, which repositories, which chunks.
//!
//! A manifest is named by the BLAKE3 of its canonical encoding, so that [`SnapshotManifest::encode`]
//! has one answer and [`SnapshotManifest::decode`] refuses every other spelling. Decoding trusts
//! nothing: what it returns obeys every rule of [`SnapshotManifest::validate`] and the caller's
//! [`Limits`]. Never reads a file and never runs git.

mod check;
mod compare;
mod delta;
mod entry;
mod error;
mod id;
mod index;
mod limits;
mod oid;
mod parallel;
mod ref_name;
mod repository;
mod result;
mod session;
mod snapshot;
mod stored;

pub use self::compare::{Change, ChangeKind, differences};
pub use self::delta::{DeltaError, apply_delta, changed_chunks, delta};
pub use self::entry::{Entry, Kind, MODE_MASK, SYMLINK_TARGET_MAX, Timestamp};
pub use self::error::{EntryProblem, ManifestError, RepositoryProblem};
pub use self::id::{ResultId, SnapshotId};
pub use self::index::{IndexEntry, IndexFlags, index_digest};
pub use self::limits::Limits;
pub use self::oid::{ObjectFormat, Oid, ParseOidError};
pub use self::ref_name::{RefName, RefNameError};
pub use self::repository::{Head, Operation, Repository, RepositoryState};
pub use self::result::{RepositoryResult, ResultManifest};
pub use self::session::{SESSION_NAME_MAX, Session};
pub use self::snapshot::SnapshotManifest;

/// The version of manifests without a session.
pub const VERSION: u32 = 1;

/// The version of manifests with a session: who cannot read it must not take one for less.
pub const VERSION_WITH_SESSION: u32 = 2;

/// The version of a manifest, by whether there is a session in it.
#[must_use]
pub const fn version_of(session: Option<&Session>) -> u32 {
    if session.is_some() { VERSION_WITH_SESSION } else { VERSION }
}
