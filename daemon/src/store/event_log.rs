//! The log of what happened to every run: appends with an expected revision, reads, tails.
//!
//! An append is the only fence: whoever appends at an outdated revision learns it here, and
//! nothing that a queue says ever replaces that.

use std::{fmt, pin::Pin, str::FromStr};

use handoff_proto::run::{Record, RunId};
use thiserror::Error;
use tokio_stream::Stream;

use super::StoreError;

/// Largest batch in encoded bytes: a replicated engine stores a batch as one message, whose usual
/// limit is 1 MiB.
pub const APPEND_BYTES_MAX: usize = 512 * 1024;

/// A position in the log: strictly increasing within a run, not contiguous, otherwise opaque.
/// As text it is a cursor that clients keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rev(u64);

/// The text is not a cursor.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cursor is not one of this daemon's: leave it out to start from now")]
pub struct RevError;

/// Which runs a tail follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One run.
    Run(RunId),
    /// Every run of every user: callers filter.
    All,
}

/// One record with its place.
pub type TailItem = (Rev, RunId, Record);

/// An endless stream of records. After an `Err` it ends: open another one at the last revision
/// that was seen.
pub type Tail = Pin<Box<dyn Stream<Item = Result<TailItem, StoreError>> + Send>>;

/// An append was not done, or perhaps not.
#[derive(Debug, Error)]
pub enum AppendError {
    /// Someone else appended first; nothing was stored.
    #[error("run has moved on to revision {actual}")]
    Conflict {
        /// The run's newest revision; [`Rev::ZERO`] when it has no events.
        actual: Rev,
    },
    /// The batch may be stored or not: read the run before going on.
    #[error("store cannot say whether the events were kept: {0}")]
    Ambiguous(String),
    /// The batch can never be stored.
    #[error("events of {bytes} bytes are over the limit of {APPEND_BYTES_MAX} bytes")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
    },
    /// Nothing was stored; trying again may help.
    #[error("events were not stored")]
    Unavailable(#[source] StoreError),
}

/// The append-only log of every run.
#[tonic::async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends all of `batch` or nothing, provided that `expect` is the run's newest revision,
    /// and returns the new one. Durable when it returns. An empty batch only checks `expect`.
    async fn append(&self, run: &RunId, expect: Rev, batch: &[Record]) -> Result<Rev, AppendError>;

    /// Reads up to `max` of the run's records after a revision, in order.
    async fn read(
        &self,
        run: &RunId,
        after: Rev,
        max: usize,
    ) -> Result<Vec<(Rev, Record)>, StoreError>;

    /// Reads up to `max` records of all runs after a revision, ordered within each run. An empty
    /// answer means that the end is reached: this is how a daemon recovers.
    async fn scan(&self, after: Rev, max: usize) -> Result<Vec<TailItem>, StoreError>;

    /// The newest revision of all: a tail from there sees only what comes.
    async fn head(&self) -> Result<Rev, StoreError>;

    /// Follows the log: ordered per run, without gaps, possibly repeating, never ending. Appends
    /// wake it; nothing polls.
    fn tail(&self, scope: Scope, after: Rev) -> Tail;

    /// Removes all records of a run, for good. A late append to it conflicts with `Rev::ZERO`.
    async fn forget(&self, run: &RunId) -> Result<(), StoreError>;
}

impl Rev {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    pub(super) const fn new(value: u64) -> Self {
        Self(value)
    }

    pub(super) const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Rev {
    type Err = RevError;

    fn from_str(text: &str) -> Result<Self, RevError> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            // Beyond i64 no engine can hold it.
            Ok(value) if digits && i64::try_from(value).is_ok() => Ok(Self(value)),
            Ok(_) | Err(_) => Err(RevError),
        }
    }
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Ambiguous { cause } => Self::Ambiguous(cause),
            other => Self::Unavailable(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_as_text() {
        for rev in [Rev::ZERO, Rev(1), Rev(u64::from(u32::MAX) * 7)] {
            assert_eq!(rev.to_string().parse(), Ok(rev));
        }
    }

    #[test]
    fn other_texts_are_no_cursor() {
        for text in ["", "-1", "+1", "1 ", "x", "99999999999999999999", "18446744073709551615"] {
            assert_eq!(text.parse::<Rev>(), Err(RevError), "{text:?}");
        }
    }
}
