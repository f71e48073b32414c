//! What a pull changes, each thing with what it was and what it becomes.

use handoff_proto::manifest::{Head, Oid, RefName, Timestamp};
use handoff_proto::path::TreePath;
use serde::{Deserialize, Serialize};

use super::text::{AsText, Text};
use crate::pull::git::{GitFile, RefTarget};

/// The version of the records that this code writes and reads.
pub const VERSION: u32 = 1;

/// One pull.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// How far it got.
    pub phase: Phase,
    /// The process that applied it, which its temporary files are named after.
    pub process: u32,
    /// The run's id.
    pub run: String,
    /// Its name.
    pub name: String,
    /// The id of the result, in hexadecimal digits.
    pub result: String,
    /// Where the result went.
    pub place: Place,
    /// What changes in the tree, sorted by path.
    pub tree: Vec<TreeStep>,
    /// Directories that must be writable meanwhile, with their permission bits.
    pub relaxed: Vec<Relaxed>,
    /// What changes in repositories, sorted by path.
    pub repositories: Vec<RepositorySteps>,
}

/// How far a pull got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It began and did not end: things may be in either state.
    Unfinished,
    /// Everything is in its new state.
    Done,
}

/// Where a result went.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Into the tree itself.
    InPlace,
    /// Into a directory of its own.
    Elsewhere {
        /// The directory.
        path: Text<Vec<u8>>,
        /// Whether it is a working tree of the repository.
        worktree: bool,
    },
}

/// One path of the tree that changes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TreeStep {
    /// The path.
    pub path: Text<TreePath>,
    /// What it was.
    pub before: Option<Node>,
    /// What it becomes.
    pub after: Option<Node>,
    /// Where the old content begins among those that were kept, if it changes.
    pub kept: Option<u64>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// A regular file.
    File {
        /// Its permission bits.
        mode: u32,
        /// When it was modified: seconds and nanoseconds.
        mtime: (i64, u32),
        /// Its size in bytes.
        size: u64,
        /// The BLAKE3 of its content.
        hash: Text<blake3::Hash>,
    },
    /// A directory.
    Directory {
        /// Its permission bits.
        mode: u32,
        /// When it was modified.
        mtime: (i64, u32),
    },
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Text<Vec<u8>>,
        /// When it was made.
        mtime: (i64, u32),
    },
}

/// A directory that must be writable while something in it changes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Relaxed {
    /// The directory.
    pub path: Text<TreePath>,
    /// Its permission bits before and after.
    pub mode: u32,
    /// When it was modified.
    pub mtime: (i64, u32),
}

/// What changes in one repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RepositorySteps {
    /// The directory of its working tree; none for the root's.
    pub path: Option<Text<TreePath>>,
    /// References.
    pub refs: Vec<RefStep>,
    /// HEAD, if it comes to name something else.
    pub head: Option<HeadStep>,
    /// Files by which git remembers a merge.
    pub files: Vec<FileStep>,
    /// The index.
    pub index: Option<IndexStep>,
}

/// One reference that changes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RefStep {
    /// The reference, or the name of a pseudo-reference.
    pub name: Text<RefTarget>,
    /// What it held.
    pub before: Option<Text<Oid>>,
    /// What it comes to hold.
    pub after: Option<Text<Oid>>,
}

/// HEAD, when it comes to name something else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HeadStep {
    /// What it said.
    pub before: Text<Head>,
    /// What it comes to say.
    pub after: Text<Head>,
}

/// A file of the git directory that changes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct FileStep {
    /// Which.
    pub name: Text<GitFile>,
    /// What it held.
    pub before: Option<Text<Vec<u8>>>,
    /// What it comes to hold.
    pub after: Option<Text<Vec<u8>>>,
}

/// The index, when other entries are staged or their stat data is out of date.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct IndexStep {
    /// The digest of the entries before.
    pub before: Text<blake3::Hash>,
    /// The digest of the entries after.
    pub after: Text<blake3::Hash>,
}

/// One of the two states that a record speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As it was.
    Before,
    /// As it becomes.
    After,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
        }
    }

    /// Picks the value of this side.
    pub fn of<T>(self, before: T, after: T) -> T {
        match self {
            Self::Before => before,
            Self::After => after,
        }
    }
}

impl TreeStep {
    /// What is at the path on this side.
    #[must_use]
    pub fn on(&self, side: Side) -> Option<&Node> {
        side.of(self.before.as_ref(), self.after.as_ref())
    }

    /// Whether the content of the file changes, so that the old one must be kept.
    #[must_use]
    pub fn changes_content(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(Node::File { hash: old, .. }), Some(Node::File { hash: new, .. })) => old != new,
            (_, _) => true,
        }
    }
}

impl Node {
    /// When it was modified.
    #[must_use]
    pub fn mtime(&self) -> Timestamp {
        let (Self::File { mtime, .. }
        | Self::Directory { mtime, .. }
        | Self::Symlink { mtime, .. }) = self;
        Timestamp { secs: mtime.0, nanos: mtime.1 }
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }
}

impl AsText for RefTarget {
    fn to_text(&self) -> String {
        match self {
            Self::Named(name) => name.to_text(),
            Self::Pseudo(name) => (*name).to_owned(),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "CHERRY_PICK_HEAD" => Some(Self::Pseudo("CHERRY_PICK_HEAD")),
            "REVERT_HEAD" => Some(Self::Pseudo("REVERT_HEAD")),
            name => RefName::from_text(name).map(Self::Named),
        }
    }
}

impl AsText for GitFile {
    fn to_text(&self) -> String {
        self.name().to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.name() == text)
    }
}
