//! A run's terminal over the wire: keys and sizes in, what it shows out. What it shows is read from
//! the run's output, at the pace of whoever looks, so that a slow one holds nobody up; of what that
//! does not keep any more, a slow one misses something.

mod keyboard;
mod shown;

use std::sync::Arc;

use handoff_proto::wire::{self, attach_reply::Part as Reply};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use self::keyboard::AtKeyboard;
use super::{identity::Caller, logs, runs::Replies, status::failed};
use crate::runs::{Live, Manners, Registry, SitError, Wish};

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
    let manners = match (start.take_over, start.again) {
        (true, _) => Manners::TakeOver,
        (false, true) => Manners::Yielding,
        (false, false) => Manners::Polite,
    };
    let keyboard = (!start.watch).then_some(manners);
    let wish = Wish { id: start.id, by: caller.user, keyboard };
    let mut sitting = match registry.sit(&live, wish).await {
        Ok(sitting) => sitting,
        Err(SitError::Over(_)) if start.again => {
            let shown = logs::read(registry, &live, start.after, true);
            let shown = shown.map(|record| record.map(Reply::Output));
            return Ok(whole(to_the_end(registry, live, shown)));
        }
        Err(error) => return Err(failed(error)),
    };

    let after = start.after.max(logs::position(sitting.job, sitting.tail));
    let kept = logs::read(registry, &live, after, true);
    let (looking, job) = (sitting.looking.take(), sitting.job);
    let shown = shown::of(registry, kept, after, (looking, sitting.replaced()), job);
    let attached = live.with(|run| wire::AttachedTo {
        run: Some(wire::RunView::from(run)),
        writes: sitting.hold.is_some(),
        typed: sitting.terminal.typed(),
        output_limited: run.output_limited,
    });
    let (tell, told) = mpsc::channel(1);
    let left = CancellationToken::new();
    let leaves = left.clone().drop_guard();
    let at_keyboard = AtKeyboard::new(sitting, left, registry.stopping().clone(), tell);
    registry.tracker().spawn(at_keyboard.serve(start.size, requests));

    let mut is_over = false;
    let parts = to_the_end(registry, live, shown).merge(ReceiverStream::new(told));
    let parts = parts.take_while(move |part| {
        let goes_on = !is_over;
        is_over = matches!(part, Ok(Reply::Finished(_) | Reply::Left(_)) | Err(_));
        // Whoever stops looking has left the keyboard, too.
        let _held = &leaves;
        goes_on
    });
    let first = tokio_stream::once(Ok(Reply::Attached(attached)));
    Ok(whole(Box::pin(first.chain(parts))))
}

/// What is shown, then the end of the command and the end of the run.
fn to_the_end(
    registry: &Registry,
    live: Arc<Live>,
    shown: impl Stream<Item = Result<Reply, Status>> + Send + 'static,
) -> Replies<Reply> {
    let stopping = registry.stopping().clone();
    let end = tokio_stream::once(Ok(Reply::Ended(wire::Empty {})));
    let finished =
        tokio_stream::once(()).then(move |()| finished(Arc::clone(&live), stopping.clone()));
    Box::pin(shown.chain(end).chain(finished))
}

fn whole(parts: Replies<Reply>) -> Replies<wire::AttachReply> {
    Box::pin(parts.map(|part| part.map(|part| wire::AttachReply { part: Some(part) })))
}

/// The run once it has finished.
async fn finished(live: Arc<Live>, stopping: CancellationToken) -> Result<Reply, Status> {
    let mut published = live.subscribe();
    tokio::select! {
        () = stopping.cancelled() => {
            Err(Status::unavailable("daemon is stopping; the run goes on"))
        }
        run = published.wait_for(|run| run.is_finished()) => match run {
            Ok(run) => Ok(Reply::Finished(wire::RunView::from(&*run))),
            Err(_gone) => Err(Status::unavailable("run is not driven any more")),
        },
    }
}
