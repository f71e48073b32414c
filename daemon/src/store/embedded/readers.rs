//! Connections that only read, apart from the one that writes: a read never waits for a commit.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, ErrorCode};

use super::schema;
use crate::store::StoreError;

/// How many idle connections are kept: more threads than that rarely read at a time.
const IDLE_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Readers {
    directory: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    /// Reads on this thread, which must be allowed to block.
    pub(super) fn read_blocking<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let failed = |source| failed(&self.directory, source);
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.directory).map_err(failed)?,
        };
        let result = read(&connection).map_err(failed);
        let mut idle = self.lock();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        result
    }

    /// Reads on a thread of the blocking pool.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = self.clone();
        tokio::task::spawn_blocking(move || readers.read_blocking(read))
            .await
            // Only when the runtime is going down.
            .unwrap_or(Err(StoreError::Closed))
    }

    /// The directory of the store.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error of SQLite means for the store in `directory`.
pub(super) fn failed(directory: &Path, source: rusqlite::Error) -> StoreError {
    if source.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        StoreError::DiskFull { directory: directory.to_owned() }
    } else {
        StoreError::Database { path: schema::path(directory), source }
    }
}
