//! The stream that carries a manifest and chunks: a tar archive under zstd.
//!
//! The archive may be spread over several zstd frames, so that a writer can change the effort while
//! it sends, or leave content as it is. In this order: an entry `version` holding `1\n`, at most one
//! `manifest`, then `chunk/<id>` for each chunk in order of first use. Reading trusts nothing: a
//! header that is not one of those three is refused before its body is read, and no more is ever
//! held than one chunk or the manifest, each within the size that was declared for it. Never touches
//! the file system.

mod archive;
mod error;
mod header;
mod reader;
mod stored;
mod writer;

pub use self::error::BundleError;
pub use self::reader::{BundleLimits, Item, Reader};
pub use self::writer::{Effort, LEVEL_MAX, LEVEL_MIN, Writer};

/// The content of the `version` entry.
const VERSION: &[u8] = b"1\n";

/// The binary logarithm of the largest zstd window that is written or read: 8 MiB, the most that
/// levels up to 19 use, and all the memory that a hostile stream can make a reader set aside.
const WINDOW_LOG_MAX: u32 = 23;
