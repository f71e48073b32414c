//! The event log in SQLite: the check of the expected revision and the insert are one transaction.

use handoff_proto::run::{Record, RunId};
use rusqlite::{Connection, params};

use super::{Embedded, schema, tail, writer::Touches};
use crate::store::{
    APPEND_BYTES_MAX, AppendError, EventLog, Rev, Scope, StoreError, Tail, TailItem,
};

/// A page of a scan ends here even when it holds fewer records than allowed.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// One stored row: revision, run, record.
type Row = (i64, String, Vec<u8>);

#[tonic::async_trait]
impl EventLog for Embedded {
    async fn append(&self, run: &RunId, expect: Rev, batch: &[Record]) -> Result<Rev, AppendError> {
        let records: Vec<Vec<u8>> = batch.iter().map(Record::encode).collect();
        let bytes = records.iter().map(Vec::len).sum();
        if bytes > APPEND_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes });
        }
        let run = run.clone();
        let appended = self
            .writer()
            .write(Touches::Log, move |connection| append(connection, &run, expect, &records))
            .await?;
        appended.map_err(|actual| AppendError::Conflict { actual })
    }

    async fn read(
        &self,
        run: &RunId,
        after: Rev,
        max: usize,
    ) -> Result<Vec<(Rev, Record)>, StoreError> {
        let scope = Scope::Run(run.clone());
        let items = self.page(scope, after, max, usize::MAX).await?;
        Ok(items.into_iter().map(|(rev, _, record)| (rev, record)).collect())
    }

    async fn scan(&self, after: Rev, max: usize) -> Result<Vec<TailItem>, StoreError> {
        self.page(Scope::All, after, max, PAGE_BYTES_MAX).await
    }

    async fn head(&self) -> Result<Rev, StoreError> {
        self.readers()
            .read(|connection| {
                connection
                    .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'events'")?
                    .query_map([], |row| row.get(0))?
                    .next()
                    .unwrap_or(Ok(0))
            })
            .await
            .map(rev)
    }

    fn tail(&self, scope: Scope, after: Rev) -> Tail {
        tail::follow(self.readers().clone(), self.writer().log_changed(), scope, after)
    }

    async fn forget(&self, run: &RunId) -> Result<(), StoreError> {
        let run = run.clone();
        self.writer()
            .write(Touches::Nothing, move |connection| {
                connection
                    .prepare_cached("DELETE FROM events WHERE run = ?1")?
                    .execute([run.as_str()])
                    .map(drop)
            })
            .await
    }
}

impl Embedded {
    async fn page(
        &self,
        scope: Scope,
        after: Rev,
        max: usize,
        bytes_max: usize,
    ) -> Result<Vec<TailItem>, StoreError> {
        let rows = self.readers().read(move |db| select(db, &scope, after, max, bytes_max)).await?;
        decode(rows, self.directory())
    }
}

/// Reads the next page for a tail; an empty one means the end.
pub(super) fn next_page(
    connection: &Connection,
    scope: &Scope,
    after: Rev,
) -> rusqlite::Result<Vec<Row>> {
    const RECORDS_MAX: usize = 256;
    select(connection, scope, after, RECORDS_MAX, PAGE_BYTES_MAX)
}

pub(super) fn decode(
    rows: Vec<Row>,
    directory: &std::path::Path,
) -> Result<Vec<TailItem>, StoreError> {
    let damaged = |what| StoreError::Corrupt { what, path: schema::path(directory) };
    rows.into_iter()
        .map(|(at, run, record)| {
            let run = RunId::parse(&run).map_err(|e| damaged(format!("event {at}: {e}")))?;
            let record =
                Record::decode(&record).map_err(|e| damaged(format!("event {at}: {e}")))?;
            Ok((rev(at), run, record))
        })
        .collect()
}

/// Inserts a batch, or returns the actual revision when it is not the expected one.
fn append(
    connection: &Connection,
    run: &RunId,
    expect: Rev,
    records: &[Vec<u8>],
) -> rusqlite::Result<Result<Rev, Rev>> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(rev) FROM events WHERE run = ?1")?
        .query_row([run.as_str()], |row| row.get(0))?;
    let actual = newest.map_or(Rev::ZERO, rev);
    if actual != expect {
        return Ok(Err(actual));
    }
    let mut insert =
        connection.prepare_cached("INSERT INTO events (run, record) VALUES (?1, ?2)")?;
    let mut last = actual;
    for record in records {
        last = rev(insert.insert(params![run.as_str(), record])?);
    }
    Ok(Ok(last))
}

fn select(
    connection: &Connection,
    scope: &Scope,
    after: Rev,
    max: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Row>> {
    let (of_run, run) = match scope {
        Scope::Run(run) => ("run = ?1", run.as_str()),
        // The parameter must occur; every run has a longer name.
        Scope::All => ("run > ?1", ""),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT rev, run, record FROM events WHERE {of_run} AND rev > ?2 ORDER BY rev LIMIT ?3"
    ))?;
    let after = i64::try_from(after.get()).unwrap_or(i64::MAX);
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![run, after, max])?;
    let (mut found, mut bytes): (Vec<Row>, _) = (Vec::new(), 0_usize);
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, row.get(1)?, row.get(2)?));
        bytes += found.last().map_or(0, |(_, _, record)| record.len());
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(found)
}

fn rev(stored: i64) -> Rev {
    Rev::new(stored.unsigned_abs())
}
