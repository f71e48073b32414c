//! What can go wrong with any of the three interfaces.

use std::{io, path::PathBuf};

use thiserror::Error;

/// The store could not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no room; what was stored before is as it was.
    #[error(
        "disk of {directory} is full; nothing was changed: free some space there and try again"
    )]
    DiskFull {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The change may be stored or not: read again before doing anything that depends on it.
    #[error("store cannot say whether the change was kept: {cause}")]
    Ambiguous {
        /// What the engine reported.
        cause: String,
    },
    /// Another process has it open.
    #[error("store in {directory} is in use by another handoffd: stop that one first")]
    InUse {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The store is shutting down.
    #[error("store is closed")]
    Closed,
    /// The database reports an error.
    #[error("database {path} failed")]
    Database {
        /// The database file.
        path: PathBuf,
        /// What it reported.
        #[source]
        source: rusqlite::Error,
    },
    /// A file of the store cannot be read or written.
    #[error("cannot {act} {path}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system reported.
        #[source]
        source: io::Error,
    },
    /// What is stored is not what was written.
    #[error("store is damaged: {what} in {path}")]
    Corrupt {
        /// What is wrong.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote this store.
    #[error(
        "{path} has format {found}, newer than {known} which this version knows: use the handoffd that wrote it"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known format.
        known: u32,
    },
}
