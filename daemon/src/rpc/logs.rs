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
};

/// Records read ahead of a slow watcher.
const READ_AHEAD: usize = 8;

/// Records after a position; with `follow` until the command has ended.
pub(super) fn read(
    registry: &Registry,
    live: &Arc<Live>,
    after: u64,
    follow: bool,
) -> Replies<wire::OutputRecord> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let job = live.with(|run| registry.layout(&run.id)).command_job();
    let (mut end, stopping) = (live.output(), registry.stopping().clone());
    registry.tracker().spawn(async move {
        let mut reader = output::Reader::new(&job, output::Position::new(after));
        loop {
            // Looked at before reading: what is written afterwards is another round's.
            let OutputEnd { closed, .. } = *end.borrow_and_update();
            if send_available(&mut reader, &sender).await.is_err() || closed || !follow {
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
                next: record.next.get(),
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
