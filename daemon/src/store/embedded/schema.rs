//! The database file: how it is opened, what is in it, which versions of it are understood.
//!
//! A change here adds a step to `STEPS`; released steps never change.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::readers::failed;
use crate::store::StoreError;

/// How long a connection waits for a lock: only a human with the `sqlite3` tool ever holds one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The write-ahead log is cut back to this size after a large transaction.
const JOURNAL_BYTES_MAX: u32 = 64 << 20;

/// Step N brings a database from format N to N + 1.
const STEPS: &[&str] = &[
    "
    -- Revisions come from one sequence for all runs and are never used twice.
    CREATE TABLE events (
        rev INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    CREATE INDEX events_by_run ON events (run, rev);

    -- One row a run. `ready_at` is when it may be claimed: its time, or the end of its lease.
    -- `token` grows whenever an earlier lease stops being valid.
    CREATE TABLE queue (
        run TEXT PRIMARY KEY,
        class TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        ready_at INTEGER NOT NULL,
        token INTEGER NOT NULL DEFAULT 0,
        worker TEXT,
        done INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX queue_by_time ON queue (ready_at) WHERE done = 0;

    -- Bytes of a segment that count; what lies behind them is a torn tail.
    CREATE TABLE segments (
        id INTEGER PRIMARY KEY,
        length INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE blobs (
        user TEXT NOT NULL,
        id BLOB NOT NULL,
        part INTEGER NOT NULL,
        segment INTEGER NOT NULL REFERENCES segments (id),
        offset INTEGER NOT NULL,
        length INTEGER NOT NULL,
        PRIMARY KEY (user, id, part)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blobs_by_segment ON blobs (segment);

    CREATE TABLE invitations (
        secret_hash BLOB PRIMARY KEY,
        user TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        used_at INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE devices (
        fingerprint BLOB PRIMARY KEY,
        user TEXT NOT NULL,
        device TEXT NOT NULL,
        enrolled_at INTEGER NOT NULL,
        revoked_at INTEGER
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What each user has in `blobs`, kept up to date by whatever changes that.
    CREATE TABLE usage (
        user TEXT PRIMARY KEY,
        blobs INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO usage (user, blobs, bytes)
        SELECT user, sum(part = 0), sum(length) FROM blobs GROUP BY user;
",
];

/// Where the database of a store is.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("handoffd.db")
}

/// Opens the one connection that writes, and brings the database to the current format.
pub(super) fn open(directory: &Path) -> Result<Connection, StoreError> {
    let path = path(directory);
    // SQLite gives its other files the mode of this one.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| StoreError::Io { act: "make", path: path.clone(), source })?;
    let mut connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | thread_flags())
            .map_err(|source| failed(directory, source))?;
    configure(&connection).map_err(|source| failed(directory, source))?;
    migrate(&mut connection, directory)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(directory: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | thread_flags();
    let connection = Connection::open_with_flags(path(directory), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Each connection is used by one thread at a time, so SQLite needs no locks of its own.
fn thread_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    debug_assert_eq!(mode, "wal");
    // Less than FULL loses acknowledged events at a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What a statement needs to undo itself otherwise goes to a file each time.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_MAX)
}

fn migrate(connection: &mut Connection, directory: &Path) -> Result<(), StoreError> {
    let failed = |source| failed(directory, source);
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    let found: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > known {
        return Err(StoreError::Newer { path: path(directory), found, known });
    }
    for (format, step) in (0..).zip(STEPS).skip(found as usize) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(step).map_err(failed)?;
        transaction.pragma_update(None, "user_version", format + 1).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(connection: &Connection, pragma: &str) -> String {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .expect("pragma")
    }

    #[test]
    fn commits_are_synchronous_in_wal_mode() {
        let directory = tempfile::tempdir().expect("directory");
        let connection = open(directory.path()).expect("store");
        assert_eq!(text(&connection, "journal_mode"), "Text(\"wal\")");
        assert_eq!(text(&connection, "synchronous"), "Integer(2)");
        assert_eq!(text(&connection, "foreign_keys"), "Integer(1)");
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().expect("directory");
        let connection = open(directory.path()).expect("store");
        connection.pragma_update(None, "user_version", 99).expect("pragma");
        drop(connection);
        let error = open(directory.path()).expect_err("it is newer").to_string();
        assert!(error.contains("has format 99, newer than 2"), "{error}");
    }
}
