//! Watching: records from the log, for one run or for all of a user's, read at the watcher's pace.
//!
//! A watcher holds a cursor into the log; nothing is queued for it, so a slow one costs nothing
//! and reconnecting is the ordinary path.

use std::sync::Arc;

use handoff_proto::{
    run::{Event, Record, Run, RunId},
    wire,
};
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::{identity::Caller, runs::Replies};
use crate::{
    runs::{Live, Registry},
    store::{Rev, Scope},
};

/// One run's records after a position, then those to come; ends after the record that finished it.
pub(super) fn one(
    registry: &Registry,
    live: &Arc<Live>,
    after_seq: u64,
) -> Replies<wire::RunRecord> {
    if live.with(|run| run.is_finished() && run.last_seq <= after_seq) {
        return Box::pin(tokio_stream::empty());
    }
    let id = live.with(|run| run.id.clone());
    let mut ended = false;
    let records = registry
        .store()
        .log
        .tail(Scope::Run(id), Rev::ZERO)
        .take_while(move |item| {
            let go_on = !ended;
            ended = match item {
                // A turn that the watcher has seen to its end was followed by another.
                Ok((_, _, Record { event: Event::Finished { .. }, seq, .. })) => *seq > after_seq,
                Ok(_) => false,
                Err(_) => true,
            };
            go_on
        })
        .filter_map(move |item| match item {
            Ok((_, _, record)) if record.seq <= after_seq => None,
            Ok((_, _, record)) => Some(Ok(record.into())),
            Err(error) => Some(Err(Status::from(error))),
        });
    Box::pin(records)
}

/// The records of all of the caller's runs after a cursor. The first reply only names the cursor
/// at which the stream starts.
pub(super) async fn all(
    registry: &Registry,
    caller: Caller,
    cursor: &str,
) -> Result<Replies<wire::WatchAllReply>, Status> {
    let log = &registry.store().log;
    let start: Rev = if cursor.is_empty() { log.head().await? } else { cursor.parse()? };
    let first = wire::WatchAllReply { cursor: start.to_string(), run: None, record: None };
    let registry = registry.clone();
    let records = log
        .tail(Scope::All, start)
        .then(move |item| {
            let (registry, user) = (registry.clone(), caller.user.clone());
            async move {
                let (rev, id, record) = item?;
                let Some(run) = settled(&registry, &id, record.seq).await else { return Ok(None) };
                if run.user != user.as_str() {
                    return Ok(None);
                }
                Ok(Some(wire::WatchAllReply {
                    cursor: rev.to_string(),
                    run: Some(wire::RunView::from(&run)),
                    record: Some(record.into()),
                }))
            }
        })
        .filter_map(|reply: Result<Option<wire::WatchAllReply>, Status>| reply.transpose());
    Ok(Box::pin(tokio_stream::once(Ok(first)).chain(records)))
}

/// The run once its driver has published this record; none when it was removed meanwhile.
async fn settled(registry: &Registry, id: &RunId, seq: u64) -> Option<Run> {
    let live = registry.get_made(id).await?;
    let mut published = live.subscribe();
    let run = published.wait_for(|run| run.last_seq >= seq).await.ok()?;
    Some(run.clone())
}
