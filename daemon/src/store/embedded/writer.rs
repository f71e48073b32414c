//! The one thread that writes, with group commit: whatever waits becomes one transaction.
//!
//! Each job runs inside a savepoint, so that one that fails leaves the others alone. Nobody is
//! answered before the commit is on disk.

use std::{
    mem,
    path::{Path, PathBuf},
    thread,
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::readers::failed;
use crate::store::StoreError;

/// Jobs that may wait: enough for every producer of a busy daemon, and a bound on memory.
const JOBS_MAX: usize = 1024;

/// Jobs in one transaction: beyond this a commit gets longer without getting cheaper per job.
const GROUP_MAX: usize = 256;

/// Who wants to know about a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touches {
    /// Tails of the log.
    Log,
    /// Workers that wait for the queue.
    Queue,
    /// Nobody.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
    log_changed: watch::Receiver<u64>,
    queue_changed: watch::Receiver<u64>,
}

impl Writer {
    pub(super) fn start(directory: &Path, connection: Connection) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let (log, log_changed) = watch::channel(0);
        let (queue, queue_changed) = watch::channel(0);
        let thread = WriterThread { directory: directory.to_owned(), connection, log, queue };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run(waiting))
            .map_err(|source| StoreError::Io {
                act: "start a thread for",
                path: directory.to_owned(),
                source,
            })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), log_changed, queue_changed })
    }

    /// Has `work` done in a transaction. Once asked for, it is done even if the caller goes away.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        touches: Touches,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, answer) = pending(touches, work);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The same for a thread that may block.
    pub(super) fn write_blocking<T: Send + 'static>(
        &self,
        touches: Touches,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, answer) = pending(touches, work);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.blocking_send(job).map_err(|_| StoreError::Closed)?;
        answer.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Changes with every commit that touched the log.
    pub(super) fn log_changed(&self) -> watch::Receiver<u64> {
        self.log_changed.clone()
    }

    /// Changes with every commit that touched the queue.
    pub(super) fn queue_changed(&self) -> watch::Receiver<u64> {
        self.queue_changed.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without senders the thread finishes what waits and ends.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

/// Something to do in a transaction.
trait Job: Send {
    fn touches(&self) -> Touches;
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Pending<T, F> {
    touches: Touches,
    work: Option<F>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Job for Pending<T, F> {
    fn touches(&self) -> Touches {
        self.touches
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(connection)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { result, reply, .. } = *self;
        let answer = outcome.and_then(|()| result.ok_or(StoreError::Closed));
        // A caller that went away does not need the answer.
        drop(reply.send(answer));
    }
}

type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

fn pending<T: Send + 'static>(
    touches: Touches,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> (Box<dyn Job>, Answer<T>) {
    let (reply, answer) = oneshot::channel();
    (Box::new(Pending { touches, work: Some(work), result: None, reply }), answer)
}

struct WriterThread {
    directory: PathBuf,
    connection: Connection,
    log: watch::Sender<u64>,
    queue: watch::Sender<u64>,
}

impl WriterThread {
    fn run(self, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(next) = waiting.try_recv()
            {
                group.push(next);
            }
            self.commit_group(group);
        }
    }

    fn commit_group(&self, group: Vec<Box<dyn Job>>) {
        let mut ready: Vec<Box<dyn Job>> = Vec::with_capacity(group.len());
        for mut job in group {
            if ready.is_empty()
                && self.connection.is_autocommit()
                && let Err(error) = self.execute("BEGIN IMMEDIATE")
            {
                job.answer(Err(failed(&self.directory, error)));
                continue;
            }
            match self.run_in_savepoint(job.as_mut()) {
                Ok(()) => ready.push(job),
                Err(error) => {
                    // A full disk or a failed read makes SQLite give up the whole transaction.
                    if self.connection.is_autocommit() {
                        for lost in mem::take(&mut ready) {
                            lost.answer(Err(self.given_up(&error)));
                        }
                    }
                    job.answer(Err(failed(&self.directory, error)));
                }
            }
        }
        if !self.connection.is_autocommit() {
            self.commit(ready);
        }
    }

    fn run_in_savepoint(&self, job: &mut dyn Job) -> rusqlite::Result<()> {
        self.execute("SAVEPOINT job")?;
        match job.run(&self.connection) {
            Ok(()) => self.execute("RELEASE job"),
            Err(error) => {
                if !self.connection.is_autocommit() {
                    self.execute("ROLLBACK TO job")?;
                    self.execute("RELEASE job")?;
                }
                Err(error)
            }
        }
    }

    fn commit(&self, ready: Vec<Box<dyn Job>>) {
        match self.execute("COMMIT") {
            Ok(()) => {
                self.publish(&ready);
                for job in ready {
                    job.answer(Ok(()));
                }
            }
            Err(error) => {
                if !self.connection.is_autocommit()
                    && let Err(error) = self.execute("ROLLBACK")
                {
                    tracing::error!(%error, "cannot roll back after a failed commit");
                }
                for job in ready {
                    job.answer(Err(self.not_committed(&error)));
                }
            }
        }
    }

    fn publish(&self, done: &[Box<dyn Job>]) {
        for (topic, changed) in [(Touches::Log, &self.log), (Touches::Queue, &self.queue)] {
            if done.iter().any(|job| job.touches() == topic) {
                changed.send_modify(|commits| *commits = commits.wrapping_add(1));
            }
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// What a job is told whose changes were rolled back because of another one's error.
    fn given_up(&self, error: &rusqlite::Error) -> StoreError {
        failed(&self.directory, copy(error))
    }

    /// What a job is told when the commit itself failed: only a full disk surely kept nothing.
    fn not_committed(&self, error: &rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull { directory: self.directory.clone() },
            _ => StoreError::Ambiguous { cause: error.to_string() },
        }
    }
}

/// What a caller is told whose job was taken and never answered.
fn stopped() -> StoreError {
    StoreError::Ambiguous { cause: "the writer thread has stopped".to_owned() }
}

/// The same error once more, for everybody whom it hits.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            rusqlite::Error::SqliteFailure(*failure, message.clone())
        }
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}
