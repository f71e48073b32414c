//! A run's output, read from the file that its supervisor writes.

use std::sync::Arc;

use bytes::Bytes;
use handoff_proto::wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{runs::Replies, status::failed};
use crate::{
    runs::{Live, OutputEnd, Registry},
    supervisor::output,
    workspace::JobKind,
};

/// Records read ahead of a slow watcher.
const READ_AHEAD: usize = 8;

/// A run's jobs write one after the other; a position has the number of the job before this one in
/// its upper bits. Sixteen bits are more turns, and 48 more bytes, than any run has.
const JOB_SHIFT: u32 = 48;

/// A position in a run's output, from one in the output of one of its jobs.
pub(super) const fn position(job: u32, position: output::Position) -> u64 {
    (job as u64).saturating_sub(1) << JOB_SHIFT | position.get()
}

/// Records after a position; with `follow` until the command has ended.
pub(super) fn read(
    registry: &Registry,
    live: &Arc<Live>,
    after: u64,
    follow: bool,
) -> Replies<wire::OutputRecord> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let layout = live.with(|run| registry.layout(&run.id));
    let (mut end, stopping) = (live.output(), registry.stopping().clone());
    let live = Arc::clone(live);
    let of_job = move |before: u64, from: u64| {
        let number = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        output::Reader::new(&layout.job(number, JobKind::Command), output::Position::new(from))
    };
    registry.tracker().spawn(async move {
        let mut before = after >> JOB_SHIFT;
        let mut reader = of_job(before, after & ((1 << JOB_SHIFT) - 1));
        loop {
            // Looked at before reading: what is written afterwards is another round's.
            let OutputEnd { closed, .. } = *end.borrow_and_update();
            let newest = u64::from(live.with(|run| run.job)) - 1;
            if send_available(&mut reader, before << JOB_SHIFT, &sender).await.is_err() {
                return;
            }
            if before < newest {
                before += 1;
                reader = of_job(before, 0);
                continue;
            }
            if closed || !follow {
                return;
            }
            tokio::select! {
                () = stopping.cancelled() => {
                    let status = Status::unavailable("daemon is stopping; the run goes on");
                    drop(sender.send(Err(status)).await);
                    return;
                }
                changed = end.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

/// Sends what the file holds; an error means that nothing more can be sent.
async fn send_available(
    reader: &mut output::Reader,
    before: u64,
    sender: &mpsc::Sender<Result<wire::OutputRecord, Status>>,
) -> Result<(), ()> {
    loop {
        let reply = match reader.next().await {
            Ok(None) => return Ok(()),
            Ok(Some(record)) => Ok(wire::OutputRecord {
                stream: match record.stream {
                    output::Stream::Stdout => 1,
                    output::Stream::Stderr => 2,
                },
                next: before | record.next.get(),
                data: Bytes::from(record.bytes),
            }),
            Err(error) => Err(failed(error)),
        };
        let failed = reply.is_err();
        if sender.send(reply).await.is_err() || failed {
            return Err(());
        }
    }
}
