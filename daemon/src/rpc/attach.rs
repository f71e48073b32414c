//! A run's terminal over the wire: keys and sizes in, what it shows out. What it shows is read from
//! the run's output, at the pace of whoever looks, so that a slow one holds nobody up.

use std::sync::Arc;

use handoff_proto::wire::{self, attach_reply::Part as Reply, attach_request::Part as Ask};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{identity::Caller, logs, runs::Replies, status::failed};
use crate::{
    runs::{Live, Manners, Registry, Sitting, Wish},
    supervisor::AttachError,
};

/// Longest id of an attachment: room for a uuid.
const ID_MAX: usize = 64;

/// Attaches to a run's terminal and stays there until the run has finished or the caller leaves.
pub(super) async fn serve(
    registry: &Registry,
    live: Arc<Live>,
    caller: Caller,
    start: wire::AttachStart,
    requests: Streaming<wire::AttachRequest>,
) -> Result<Replies<wire::AttachReply>, Status> {
    if !(1..=ID_MAX).contains(&start.id.len()) {
        return Err(Status::invalid_argument("attachment has no id"));
    }
    let manners = if start.take_over { Manners::TakeOver } else { Manners::Polite };
    let keyboard = (!start.watch).then_some(manners);
    let wish = Wish { id: start.id, by: caller.user, keyboard };
    let sitting = registry.sit(&live, wish).await.map_err(failed)?;

    let tail = logs::position(sitting.job, sitting.tail);
    let output = logs::read(registry, &live, start.after.max(tail), true);
    let attached = wire::AttachedTo {
        run: Some(live.with(|run| wire::RunView::from(run))),
        writes: sitting.hold.is_some(),
    };
    let (tell, told) = mpsc::channel(1);
    let left = CancellationToken::new();
    let leaves = left.clone().drop_guard();
    let at_keyboard = AtKeyboard { sitting, left, stopping: registry.stopping().clone(), tell };
    registry.tracker().spawn(at_keyboard.serve(start.size, requests));

    let stopping = registry.stopping().clone();
    let shown = output.map(|record| record.map(|record| reply(Reply::Output(record))));
    let end = tokio_stream::once(Ok(reply(Reply::Ended(wire::Empty {}))));
    let finished =
        tokio_stream::once(()).then(move |()| finished(Arc::clone(&live), stopping.clone()));
    let mut is_over = false;
    let replies = shown
        .chain(end)
        .chain(finished)
        .merge(ReceiverStream::new(told).map(|part| Ok(reply(part))))
        .take_while(move |item| {
            let goes_on = !is_over;
            is_over = !matches!(item, Ok(wire::AttachReply { part: Some(part) })
                if !matches!(part, Reply::Finished(_)));
            // Whoever stops looking has left the keyboard, too.
            let _held = &leaves;
            goes_on
        });
    let first = tokio_stream::once(Ok(reply(Reply::Attached(attached))));
    Ok(Box::pin(first.chain(replies)))
}

fn reply(part: Reply) -> wire::AttachReply {
    wire::AttachReply { part: Some(part) }
}

/// The run once it has finished.
async fn finished(
    live: Arc<Live>,
    stopping: CancellationToken,
) -> Result<wire::AttachReply, Status> {
    let mut published = live.subscribe();
    tokio::select! {
        () = stopping.cancelled() => {
            Err(Status::unavailable("daemon is stopping; the run goes on"))
        }
        run = published.wait_for(|run| run.is_finished()) => match run {
            Ok(run) => Ok(reply(Reply::Finished(wire::RunView::from(&*run)))),
            Err(_gone) => Err(Status::unavailable("run is not driven any more")),
        },
    }
}

/// Somebody's keyboard and window, for as long as they stay.
struct AtKeyboard {
    sitting: Sitting,
    left: CancellationToken,
    stopping: CancellationToken,
    tell: mpsc::Sender<Reply>,
}

impl AtKeyboard {
    async fn serve(
        mut self,
        size: Option<wire::TerminalSize>,
        mut requests: Streaming<wire::AttachRequest>,
    ) {
        if let Some(size) = size
            && self.obey(Ask::Size(size)).await.is_err()
        {
            // The command has just ended: what it showed tells so.
            return self.sitting.leave().await;
        }
        loop {
            let taken = async {
                match &self.sitting.hold {
                    Some(hold) => hold.taken().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.left.cancelled() => break,
                () = self.stopping.cancelled() => return,
                () = taken => {
                    self.sitting.hold = None;
                    let part = Reply::KeyboardTaken(wire::KeyboardTaken {});
                    if self.tell.send(part).await.is_err() {
                        break;
                    }
                }
                request = requests.message() => {
                    // An end of what is asked is an end of the attachment, whatever its reason.
                    let Ok(Some(wire::AttachRequest { part: Some(part) })) = request else { break };
                    if self.obey(part).await.is_err() {
                        break;
                    }
                }
            }
        }
        self.sitting.leave().await;
    }

    /// Does what is asked, if it comes from whoever has the keyboard.
    async fn obey(&mut self, part: Ask) -> Result<(), AttachError> {
        if self.sitting.hold.is_none() {
            return Ok(());
        }
        let terminal = &mut self.sitting.terminal;
        match part {
            Ask::Keys(keys) => terminal.type_keys(&keys).await,
            Ask::Size(wire::TerminalSize { rows, columns }) => {
                match (u16::try_from(rows), u16::try_from(columns)) {
                    (Ok(rows @ 1..), Ok(columns @ 1..)) => terminal.resize(rows, columns).await,
                    _ => Ok(()),
                }
            }
            Ask::Start(_) | Ask::Here(_) => Ok(()),
        }
    }
}
