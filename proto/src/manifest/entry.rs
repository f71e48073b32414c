//! One file, directory or symbolic link of a tree.

use crate::chunk::ChunkRef;
use crate::path::TreePath;

/// The permission bits that are carried; setuid, setgid and sticky bits are not.
pub const MODE_MASK: u32 = 0o777;

/// The longest target of a symbolic link in bytes (`PATH_MAX` on Linux less the NUL).
pub const SYMLINK_TARGET_MAX: usize = 4095;

/// A moment as file systems keep it; ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970, negative before.
    pub secs: i64,
    /// Nanoseconds after that second, 0 to 999,999,999.
    pub nanos: u32,
}

/// One thing in a tree, the root directory itself apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is, relative to the root.
    pub path: TreePath,
    /// Permission bits within [`MODE_MASK`]; by convention 0o777 for symbolic links.
    pub mode: u32,
    /// When the content was last modified.
    pub mtime: Timestamp,
    /// What it is and what it holds.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// The size in bytes, which is the sum of the chunks' sizes.
        size: u64,
        /// The content in order; empty for an empty file.
        chunks: Vec<ChunkRef>,
    },
    /// A directory.
    Directory,
    /// A symbolic link, dangling and leaving the tree as it may be.
    Symlink {
        /// The target as the link has it: 1 to [`SYMLINK_TARGET_MAX`] bytes without NUL.
        target: Vec<u8>,
    },
}

impl Entry {
    /// Whether this is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }

    /// The chunks of a file in order; none for anything else.
    #[must_use]
    pub fn chunks(&self) -> &[ChunkRef] {
        match &self.kind {
            Kind::File { chunks, .. } => chunks,
            Kind::Directory | Kind::Symlink { .. } => &[],
        }
    }

    /// The size of a file in bytes; 0 for anything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            Kind::Directory | Kind::Symlink { .. } => 0,
        }
    }
}
