//! Admission: how many runs live at once, and which queued run comes next. Never changes a run.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::registry::Registry;
use crate::store::{Lease, LeaseError, RunQueue};

/// The only class of runs so far.
pub(super) const CLASS: &str = "default";

/// A worker that dies gives its run back after this long; renewed three times in between.
const LEASE: Duration = Duration::from_secs(30);

/// Pause after the queue could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// The right to advance a queued run: a slot among the running ones and a lease from the queue.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) slot: OwnedSemaphorePermit,
    pub(super) lease: HeldLease,
}

/// A lease that is renewed until this is dropped.
#[derive(Debug)]
pub(super) struct HeldLease {
    lease: Lease,
    _renewing: DropGuard,
}

/// A driver's end of its claims.
pub(super) type Claims = mpsc::Receiver<Claim>;

impl HeldLease {
    fn new(
        lease: Lease,
        queue: Arc<dyn RunQueue>,
        tracker: &TaskTracker,
        stopping: &CancellationToken,
    ) -> Self {
        let token = stopping.child_token();
        let renewing = token.clone().drop_guard();
        tracker.spawn(keep(lease.clone(), queue, token));
        Self { lease, _renewing: renewing }
    }

    /// Takes the run off the queue.
    pub(super) async fn done(self, queue: &dyn RunQueue) {
        if let Err(error) = queue.done(&self.lease).await {
            // It will be offered again, found finished and dropped.
            tracing::warn!(run = %self.lease.run, %error, "queue entry not removed");
        }
    }
}

/// Renews one lease. Losing it proves nothing: whoever advances the run is fenced by the log.
async fn keep(mut lease: Lease, queue: Arc<dyn RunQueue>, token: CancellationToken) {
    let mut tick = interval(LEASE / 3);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        select! {
            () = token.cancelled() => return,
            _ = tick.tick() => match queue.renew(&lease, LEASE).await {
                Ok(renewed) => lease = renewed,
                Err(LeaseError::Lost { run }) => {
                    tracing::warn!(%run, "lease lost");
                    return;
                }
                Err(LeaseError::Store(error)) => {
                    tracing::warn!(run = %lease.run, %error, "lease not renewed");
                }
            }
        }
    }
}

/// Gives queued runs to their drivers, one for each free slot, until the daemon stops.
pub(super) async fn admit(registry: Registry, slots: Arc<Semaphore>, worker: String) {
    let (queue, tracker, stopping) = registry.admission_parts();
    loop {
        let slot = select! {
            () = stopping.cancelled() => return,
            slot = Arc::clone(&slots).acquire_owned() => match slot {
                Ok(slot) => slot,
                Err(_closed) => return,
            },
        };
        let lease = select! {
            () = stopping.cancelled() => return,
            lease = next(&*queue, &worker) => lease,
        };
        let lease = HeldLease::new(lease, Arc::clone(&queue), &tracker, &stopping);
        let run = lease.lease.run.clone();
        if let Err(claim) = registry.hand_over(&run, Claim { slot, lease }) {
            // Removed, finished, or advanced without the queue after a restart.
            claim.lease.done(&*queue).await;
        }
    }
}

async fn next(queue: &dyn RunQueue, worker: &str) -> Lease {
    loop {
        match queue.claim(worker, &[CLASS], LEASE).await {
            Ok(Some(lease)) => return lease,
            Ok(None) => {
                if let Err(error) = queue.wait(&[CLASS]).await {
                    tracing::warn!(%error, "queue cannot be watched");
                    sleep(PAUSE).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "queue cannot be read");
                sleep(PAUSE).await;
            }
        }
    }
}
