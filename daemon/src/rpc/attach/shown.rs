//! What a terminal shows to one who looks: what is kept of it, then what is not.

use handoff_proto::wire::{self, attach_reply::Part as Reply};
use tokio::{
    sync::mpsc,
    time::{Duration, timeout},
};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::super::{logs, runs::Replies};
use crate::{
    runs::Registry,
    supervisor::{Looking, Unkept},
};

/// Parts read ahead of one who reads slowly.
const READ_AHEAD: usize = 8;

/// How long to wait for what is not kept once the command has ended: its supervisor ends with it.
const REST_WITHIN: Duration = Duration::from_secs(5);

/// What a terminal shows from a position on, until its command has ended. Who looks by another
/// connection since is shown no more by this one, and that is no end.
pub(super) fn of(
    registry: &Registry,
    kept: Replies<wire::OutputRecord>,
    after: u64,
    (looking, replaced): (Option<Looking>, CancellationToken),
    job: u32,
) -> impl Stream<Item = Result<Reply, Status>> + Send + use<> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let open = sender.clone();
    let shown = Shown { kept, position: after, looking, job, held: None, sender };
    registry.tracker().spawn(async move {
        if replaced.run_until_cancelled(shown.serve()).await.is_none() {
            open.closed().await;
        }
    });
    ReceiverStream::new(receiver)
}

struct Shown {
    kept: Replies<wire::OutputRecord>,
    /// How far the kept output was shown.
    position: u64,
    looking: Option<Looking>,
    job: u32,
    /// Waits until all is shown that comes before it.
    held: Option<Unkept>,
    sender: mpsc::Sender<Result<Reply, Status>>,
}

/// What comes next.
enum Next {
    Kept(Option<Result<wire::OutputRecord, Status>>),
    Unkept(Option<Unkept>),
}

impl Shown {
    async fn serve(mut self) {
        loop {
            let next = tokio::select! {
                record = self.kept.next() => Next::Kept(record),
                unkept = next_of(&mut self.looking), if self.held.is_none() => Next::Unkept(unkept),
                () = self.sender.closed() => return,
            };
            let goes_on = match next {
                Next::Kept(Some(record)) => {
                    self.position = record.as_ref().map_or(self.position, |record| record.next);
                    let failed = record.is_err();
                    self.sender.send(record.map(Reply::Output)).await.is_ok() && !failed
                }
                Next::Kept(None) => return self.rest().await,
                Next::Unkept(unkept) => {
                    if unkept.is_none() {
                        self.looking = None;
                    }
                    self.held = unkept;
                    true
                }
            };
            let is_next =
                |unkept: &mut Unkept| logs::position(self.job, unkept.after) <= self.position;
            let due = self.held.take_if(is_next);
            if !goes_on || !self.show(due).await {
                return;
            }
        }
    }

    /// Shows what came last.
    async fn rest(mut self) {
        let mut due = self.held.take();
        if due.is_none() {
            // What has come already, and was not looked at.
            due = timeout(Duration::ZERO, next_of(&mut self.looking)).await.ok().flatten();
        }
        while due.is_some() && self.show(due).await {
            let last = timeout(REST_WITHIN, next_of(&mut self.looking));
            due = last.await.ok().flatten();
        }
    }

    /// Tells whether it goes on.
    async fn show(&mut self, unkept: Option<Unkept>) -> bool {
        let Some(Unkept { bytes, skipped, .. }) = unkept else { return true };
        let part = Reply::Unkept(wire::Unkept { data: bytes, skipped });
        self.sender.send(Ok(part)).await.is_ok()
    }
}

/// What comes next of what is not kept; nothing while nobody looks.
async fn next_of(looking: &mut Option<Looking>) -> Option<Unkept> {
    match looking {
        Some(looking) => looking.next().await,
        None => std::future::pending().await,
    }
}
