//! The part of a repository's state that counts when two sides compare.

use crate::path::TreePath;

use super::oid::{ObjectFormat, Oid};
use super::ref_name::RefName;

/// A repository that a snapshot carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The directory of its working tree; `None` for the root.
    pub path: Option<TreePath>,
    /// Where its git directory is carried, relative to the root of the tree: `.git`, `sub/.git` or
    /// `.git/modules/sub`.
    pub git_dir: TreePath,
    /// The state at capture.
    pub state: RepositoryState,
}

/// What a local change to a repository would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryState {
    /// How its objects are named; every id below is of that format.
    pub object_format: ObjectFormat,
    /// What HEAD says.
    pub head: Head,
    /// The references that hold an object id, sorted by name, each once. Symbolic ones are left
    /// out by whoever lists them.
    pub refs: Vec<(RefName, Oid)>,
    /// [`index_digest`](super::index_digest) of the index entries.
    pub index_digest: [u8; 32],
    /// Operations in progress with their heads, sorted by operation, each once.
    pub in_progress: Vec<(Operation, Vec<Oid>)>,
}

/// What HEAD says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// On a branch, which has no commit yet if there is no id.
    Branch(RefName, Option<Oid>),
    /// At a commit.
    Detached(Oid),
}

impl Head {
    /// The commit; `None` on a branch without one.
    #[must_use]
    pub fn oid(&self) -> Option<Oid> {
        match self {
            Self::Branch(_, oid) => *oid,
            Self::Detached(oid) => Some(*oid),
        }
    }
}

/// Something that git has begun and not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// MERGE_HEAD exists; its ids are the heads.
    Merge,
    /// CHERRY_PICK_HEAD exists; its id is the head.
    CherryPick,
    /// REVERT_HEAD exists; its id is the head.
    Revert,
    /// `rebase-merge` or `rebase-apply` exists; REBASE_HEAD, if there is one, is the head.
    Rebase,
    /// BISECT_LOG exists; there are no heads.
    Bisect,
}

impl Operation {
    /// Every operation, sorted.
    pub const ALL: [Self; 5] =
        [Self::Merge, Self::CherryPick, Self::Revert, Self::Rebase, Self::Bisect];

    /// The file in the git directory that holds the heads; `None` where there are none.
    #[must_use]
    pub const fn head_file(self) -> Option<&'static str> {
        match self {
            Self::Merge => Some("MERGE_HEAD"),
            Self::CherryPick => Some("CHERRY_PICK_HEAD"),
            Self::Revert => Some("REVERT_HEAD"),
            Self::Rebase => Some("REBASE_HEAD"),
            Self::Bisect => None,
        }
    }
}
