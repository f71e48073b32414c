//! Record, apply, publish: the only way in which a run changes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use handoff_proto::run::{Event, IllegalEvent, Record, Run};
use thiserror::Error;

use super::Live;
use crate::store::{AppendError, EventLog, Rev, StoreError};

/// How often a store that cannot be written right now is tried before the driver gives up; with
/// the pauses below this is some ten minutes. A restart of the daemon takes the run up again.
const ATTEMPTS_MAX: u32 = 24;
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A run's log as its driver writes it.
pub(super) struct Journal {
    log: Arc<dyn EventLog>,
    live: Arc<Live>,
    run: Run,
    rev: Rev,
}

/// An event was not recorded.
#[derive(Debug, Error)]
pub(super) enum RecordError {
    /// A defect: the driver decided something that cannot be.
    #[error("driver decided an illegal event")]
    Illegal(#[from] IllegalEvent),
    /// Another driver advanced the run; this one must end.
    #[error("run is driven elsewhere")]
    Fenced,
    /// The store stayed unavailable.
    #[error("store is not available")]
    Unavailable(#[source] AppendError),
    /// The store could not be read after an ambiguous append.
    #[error("store cannot be read")]
    Unreadable(#[source] StoreError),
}

impl Journal {
    pub(super) fn new(log: Arc<dyn EventLog>, live: Arc<Live>, run: Run, rev: Rev) -> Self {
        Self { log, live, run, rev }
    }

    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// Records one event, applies it and publishes the new state.
    ///
    /// # Errors
    /// When the event is illegal, the run is driven elsewhere or the store stays unavailable; the
    /// published state is then unchanged.
    pub(super) async fn record(&mut self, event: Event) -> Result<(), RecordError> {
        self.record_all(vec![event]).await
    }

    /// The same for several events, all of them or none.
    ///
    /// # Errors
    /// As for one.
    pub(super) async fn record_all(&mut self, events: Vec<Event>) -> Result<(), RecordError> {
        let at_unix_nanos = now_unix_nanos();
        let mut next = self.run.clone();
        let mut batch = Vec::with_capacity(events.len());
        for event in events {
            let record = Record { seq: next.last_seq + 1, at_unix_nanos, event };
            next.apply(&record)?;
            batch.push(record);
        }
        self.rev = self.append(&batch).await?;
        self.run = next;
        self.live.publish(self.run.clone());
        Ok(())
    }

    async fn append(&self, batch: &[Record]) -> Result<Rev, RecordError> {
        let mut pause = PAUSE_FIRST;
        let mut attempt = 1;
        loop {
            match self.log.append(&self.run.id, self.rev, batch).await {
                Ok(rev) => return Ok(rev),
                Err(AppendError::Conflict { .. }) => return Err(RecordError::Fenced),
                Err(AppendError::Ambiguous(_)) => {
                    if let Some(rev) = self.appended(batch).await? {
                        return Ok(rev);
                    }
                }
                Err(error @ AppendError::TooLarge { .. }) => {
                    return Err(RecordError::Unavailable(error));
                }
                Err(error @ AppendError::Unavailable(_)) if attempt == ATTEMPTS_MAX => {
                    return Err(RecordError::Unavailable(error));
                }
                Err(AppendError::Unavailable(error)) => {
                    tracing::warn!(run = %self.run.id, %error, attempt, "event not stored yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            attempt += 1;
        }
    }

    /// Whether an ambiguous append of these records took place, and where it ends.
    async fn appended(&self, batch: &[Record]) -> Result<Option<Rev>, RecordError> {
        let found = self.log.read(&self.run.id, self.rev, batch.len()).await;
        let found = found.map_err(RecordError::Unreadable)?;
        match found.last() {
            None => Ok(None),
            Some((rev, _)) if found.iter().map(|(_, stored)| stored).eq(batch) => Ok(Some(*rev)),
            Some(_) => Err(RecordError::Fenced),
        }
    }
}

/// The time for records; saturates instead of failing on a clock far off.
pub(super) fn now_unix_nanos() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
