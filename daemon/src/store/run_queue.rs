//! The queue of runs that wait for a worker: at least once, under leases.
//!
//! A hint, never a fence: a lease that is lost proves nothing, and a worker that still believes
//! in one is stopped by its next append to the log.

use std::time::{Duration, SystemTime};

use handoff_proto::run::RunId;
use thiserror::Error;

use super::StoreError;

/// A worker's claim on one attempt of a run, until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Its class.
    pub class: String,
    /// Which attempt was offered.
    pub attempt: u32,
    /// Distinguishes this claim from every other one.
    pub token: u64,
    /// When it ends unless renewed.
    pub until: SystemTime,
}

/// A lease could not be prolonged.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// It has expired and may be another worker's by now.
    #[error("lease on run {run} is lost")]
    Lost {
        /// The run.
        run: RunId,
    },
    /// The store failed; the lease may still hold.
    #[error("lease was not renewed")]
    Store(#[from] StoreError),
}

/// Runs that wait for a worker.
#[tonic::async_trait]
pub trait RunQueue: Send + Sync + 'static {
    /// Offers an attempt of a run, claimable from `not_before` on. Offering an attempt that was
    /// offered before, done or not, changes nothing; a higher attempt replaces a lower one.
    async fn offer(
        &self,
        run: &RunId,
        class: &str,
        attempt: u32,
        not_before: SystemTime,
    ) -> Result<(), StoreError>;

    /// Claims the run of these classes that waits longest, if there is one. Runs whose lease has
    /// expired are given out again.
    async fn claim(
        &self,
        worker: &str,
        classes: &[&str],
        lease: Duration,
    ) -> Result<Option<Lease>, StoreError>;

    /// Returns once a claim of these classes may succeed: something was offered or released, its
    /// time has come, or a lease has expired. Another worker may still be faster.
    async fn wait(&self, classes: &[&str]) -> Result<(), StoreError>;

    /// Prolongs a lease to `lease` from now.
    async fn renew(&self, held: &Lease, lease: Duration) -> Result<Lease, LeaseError>;

    /// Gives a run back, claimable again after `delay`. Nothing happens when the lease is lost.
    async fn release(&self, held: &Lease, delay: Duration) -> Result<(), StoreError>;

    /// Takes the attempt off the queue. Nothing happens when the lease is lost or it was done
    /// before.
    async fn done(&self, held: &Lease) -> Result<(), StoreError>;

    /// Removes every trace of a run.
    async fn forget(&self, run: &RunId) -> Result<(), StoreError>;
}
