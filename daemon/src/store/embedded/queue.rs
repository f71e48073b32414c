//! The run queue in SQLite: one row a run, claimable when its time has come or its lease is over.

use std::time::{Duration, SystemTime};

use handoff_proto::run::RunId;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Embedded, from_millis, schema, to_millis, writer::Touches};
use crate::store::{Lease, LeaseError, RunQueue, StoreError};

#[tonic::async_trait]
impl RunQueue for Embedded {
    async fn offer(
        &self,
        run: &RunId,
        class: &str,
        attempt: u32,
        not_before: SystemTime,
    ) -> Result<(), StoreError> {
        let (run, class, ready_at) = (run.clone(), class.to_owned(), to_millis(not_before));
        self.writer()
            .write(Touches::Queue, move |connection| {
                connection
                    .prepare_cached(
                        "INSERT INTO queue (run, class, attempt, ready_at)
                         VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (run) DO UPDATE SET
                             class = ?2, attempt = ?3, ready_at = ?4, token = token + 1,
                             worker = NULL, done = 0
                         WHERE attempt < ?3",
                    )?
                    .execute(params![run.as_str(), class, attempt, ready_at])
                    .map(drop)
            })
            .await
    }

    async fn claim(
        &self,
        worker: &str,
        classes: &[&str],
        lease: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let (worker, classes) = (worker.to_owned(), list(classes));
        let claimed = self
            .writer()
            .write(Touches::Nothing, move |connection| {
                let now = SystemTime::now();
                connection
                    .prepare_cached(
                        "UPDATE queue SET ready_at = ?1, token = token + 1, worker = ?2
                         WHERE run = (
                             SELECT run FROM queue
                             WHERE done = 0 AND ready_at <= ?3
                                 AND class IN (SELECT value FROM json_each(?4))
                             ORDER BY ready_at LIMIT 1)
                         RETURNING run, class, attempt, token, ready_at",
                    )?
                    .query_row(
                        params![to_millis(now + lease), worker, to_millis(now), classes],
                        |row| {
                            let run: String = row.get(0)?;
                            let fields = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
                            Ok((run, fields))
                        },
                    )
                    .optional()
            })
            .await?;
        let Some((run, (class, attempt, token, until))) = claimed else {
            return Ok(None);
        };
        let run = RunId::parse(&run).map_err(|error| StoreError::Corrupt {
            what: format!("queued run {run:?}: {error}"),
            path: schema::path(self.directory()),
        })?;
        let token = i64::unsigned_abs(token);
        Ok(Some(Lease { run, class, attempt, token, until: from_millis(until) }))
    }

    async fn wait(&self, classes: &[&str]) -> Result<(), StoreError> {
        let mut changed = self.writer().queue_changed();
        let classes = list(classes);
        loop {
            // Marked as seen before reading: a commit during the read wakes the wait below.
            changed.borrow_and_update();
            let classes = classes.clone();
            let next = self.readers().read(move |db| next_ready(db, &classes)).await?;
            let due = async {
                match next {
                    Some(at) => {
                        let left = at.duration_since(SystemTime::now()).unwrap_or_default();
                        tokio::time::sleep(left).await;
                    }
                    None => std::future::pending().await,
                }
            };
            if next.is_some_and(|at| at <= SystemTime::now()) {
                return Ok(());
            }
            tokio::select! {
                () = due => {}
                result = changed.changed() => result.map_err(|_| StoreError::Closed)?,
            }
        }
    }

    async fn renew(&self, held: &Lease, lease: Duration) -> Result<Lease, LeaseError> {
        let until = to_millis(SystemTime::now() + lease);
        let renewed = self.change_held(held, "ready_at = ?3", until, Touches::Nothing).await?;
        if renewed {
            Ok(Lease { until: from_millis(until), ..held.clone() })
        } else {
            Err(LeaseError::Lost { run: held.run.clone() })
        }
    }

    async fn release(&self, held: &Lease, delay: Duration) -> Result<(), StoreError> {
        let ready_at = to_millis(SystemTime::now() + delay);
        let set = "ready_at = ?3, token = token + 1, worker = NULL";
        self.change_held(held, set, ready_at, Touches::Queue).await.map(drop)
    }

    async fn done(&self, held: &Lease) -> Result<(), StoreError> {
        let set = "done = ?3, token = token + 1, worker = NULL";
        self.change_held(held, set, 1, Touches::Nothing).await.map(drop)
    }

    async fn forget(&self, run: &RunId) -> Result<(), StoreError> {
        let run = run.clone();
        self.writer()
            .write(Touches::Nothing, move |connection| {
                connection
                    .prepare_cached("DELETE FROM queue WHERE run = ?1")?
                    .execute([run.as_str()])
                    .map(drop)
            })
            .await
    }
}

impl Embedded {
    /// Changes the row of a lease and says whether the lease still held.
    async fn change_held(
        &self,
        held: &Lease,
        set: &'static str,
        value: i64,
        touches: Touches,
    ) -> Result<bool, StoreError> {
        let run = held.run.clone();
        let token = i64::try_from(held.token).unwrap_or(i64::MAX);
        self.writer()
            .write(touches, move |connection| {
                let sql = format!(
                    "UPDATE queue SET {set}
                     WHERE run = ?1 AND token = ?2 AND worker IS NOT NULL AND done = 0"
                );
                let changed = connection.prepare_cached(&sql)?.execute(params![
                    run.as_str(),
                    token,
                    value
                ])?;
                Ok(changed > 0)
            })
            .await
    }
}

/// Makes every leased run claimable: called when no worker can be alive.
pub(super) fn end_all_leases(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute(
            "UPDATE queue SET ready_at = ?1, token = token + 1, worker = NULL
             WHERE worker IS NOT NULL",
            [to_millis(SystemTime::now())],
        )
        .map(drop)
}

/// When the next run of these classes is claimable.
fn next_ready(connection: &Connection, classes: &str) -> rusqlite::Result<Option<SystemTime>> {
    connection
        .prepare_cached(
            "SELECT min(ready_at) FROM queue
             WHERE done = 0 AND class IN (SELECT value FROM json_each(?1))",
        )?
        .query_row([classes], |row| row.get::<_, Option<i64>>(0))
        .map(|at| at.map(from_millis))
}

/// Classes as one parameter.
fn list(classes: &[&str]) -> String {
    serde_json::Value::from(classes.to_vec()).to_string()
}
