//! What each user has stored: counted in the same transaction as the change, never by a scan.

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Usage, UserName};

/// A change of what a user has stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) blobs: i64,
    pub(super) bytes: i64,
}

impl Change {
    /// A part of a blob came; the blob counts with its first one.
    pub(super) fn add_part(&mut self, part: u32, bytes: u64) {
        self.blobs += i64::from(part == 0);
        self.bytes += number(bytes);
    }

    /// A part of a blob went.
    pub(super) fn remove_part(&mut self, part: u32, bytes: u64) {
        self.blobs -= i64::from(part == 0);
        self.bytes -= number(bytes);
    }

    /// Counts it; part of the transaction that makes the change.
    pub(super) fn record(self, connection: &Connection, user: &UserName) -> rusqlite::Result<()> {
        if self == Self::default() {
            return Ok(());
        }
        connection
            .prepare_cached(
                "INSERT INTO usage (user, blobs, bytes) VALUES (?1, ?2, ?3)
                 ON CONFLICT (user) DO UPDATE SET blobs = blobs + ?2, bytes = bytes + ?3",
            )?
            .execute(params![user.as_str(), self.blobs, self.bytes])
            .map(drop)
    }
}

/// What a user has stored.
pub(super) fn read(connection: &Connection, user: &UserName) -> rusqlite::Result<Usage> {
    let count = |row: &rusqlite::Row<'_>, column| row.get(column).map(i64::unsigned_abs);
    connection
        .prepare_cached("SELECT blobs, bytes FROM usage WHERE user = ?1")?
        .query_row([user.as_str()], |row| {
            Ok(Usage { blobs: count(row, 0)?, bytes: count(row, 1)? })
        })
        .optional()
        .map(Option::unwrap_or_default)
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn a_store_of_the_first_format_is_counted_once() {
        let directory = tempfile::tempdir().expect("directory");
        let connection = schema::open(directory.path()).expect("store");
        connection
            .execute_batch(
                "DROP TABLE usage;
                 INSERT INTO segments VALUES (1, 100);
                 INSERT INTO blobs VALUES ('ada', x'01', 0, 1, 0, 10), ('ada', x'01', 1, 1, 10, 5),
                     ('ada', x'02', 0, 1, 20, 0), ('eve', x'01', 0, 1, 30, 7);
                 PRAGMA user_version = 1;",
            )
            .expect("as the first format");
        drop(connection);
        let connection = schema::open(directory.path()).expect("migrated");
        let usage = |name| read(&connection, &UserName::parse(name).expect("user")).expect("usage");
        assert_eq!(usage("ada"), Usage { blobs: 2, bytes: 15 });
        assert_eq!(usage("eve"), Usage { blobs: 1, bytes: 7 });
        assert_eq!(usage("bob"), Usage::default());
    }
}
