//! Why a bundle is refused.

use std::io;

use crate::chunk::ChunkId;

/// Why a bundle cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The stream underneath failed, ended too early or is no zstd that is acceptable here.
    #[error("read the bundle after {at}")]
    Read {
        /// The last entry that was read whole, or begun.
        at: String,
        /// The system's or the decompressor's reason.
        #[source]
        source: io::Error,
    },
    /// The stream underneath failed.
    #[error("write the bundle")]
    Write(#[source] io::Error),
    /// A tar header that no bundle holds; its body was not read.
    #[error("the bundle holds an entry after {at} that {problem}")]
    Header {
        /// The entry before.
        at: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Written by a newer program.
    #[error("the bundle has an unknown version; this program reads version 1, update it")]
    UnknownVersion,
    /// More than a limit.
    #[error("{what} of {size} bytes is larger than {max} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The declared size in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// A chunk that was not asked for.
    #[error("chunk {0} was not asked for")]
    Unexpected(ChunkId),
    /// A chunk that came before.
    #[error("chunk {0} comes twice")]
    Duplicate(ChunkId),
    /// A chunk whose declared size is not the one expected.
    #[error("chunk {id} has {size} bytes, {expected} were expected")]
    Size {
        /// The chunk.
        id: ChunkId,
        /// The size that the bundle declares, in bytes.
        size: u64,
        /// The size that was expected, in bytes.
        expected: u32,
    },
    /// A chunk whose content has another hash.
    #[error("chunk {0} is damaged: its content has another hash")]
    Hash(ChunkId),
    /// Two expected sizes for one chunk.
    #[error("chunk {0} is expected with two different sizes")]
    Conflict(ChunkId),
    /// Anything after the end.
    #[error("the bundle goes on after its end")]
    Trailing,
}
