//! What every event log must do.

use std::{collections::BTreeSet, sync::Arc};

use handoff_daemon::store::{APPEND_BYTES_MAX, AppendError, EventLog, Rev, Scope, TailItem};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use crate::{
    Engine,
    sample::{record, record_with, run},
};

/// Appends one record each and returns the last revision.
async fn append_each(
    log: &Arc<dyn EventLog>,
    id: u8,
    from: Rev,
    seqs: std::ops::RangeInclusive<u64>,
) -> Rev {
    let mut at = from;
    for seq in seqs {
        let next = log.append(&run(id), at, &[record(seq)]).await.expect("append");
        assert!(next > at, "revisions grow");
        at = next;
    }
    at
}

async fn seqs(log: &Arc<dyn EventLog>, id: u8) -> Vec<u64> {
    let records = log.read(&run(id), Rev::ZERO, usize::MAX).await.expect("read");
    records.iter().map(|(_, record)| record.seq).collect()
}

/// Takes this many items off a new tail.
async fn follow(log: &Arc<dyn EventLog>, scope: Scope, after: Rev, count: usize) -> Vec<TailItem> {
    let items: Vec<_> = log.tail(scope, after).take(count).collect().await;
    items.into_iter().map(|item| item.expect("item")).collect()
}

pub(crate) async fn of_many_racers_exactly_one_appends(engine: &dyn Engine) {
    const RACERS: usize = 16;
    let log = engine.open().log;
    let mut at = Rev::ZERO;
    for round in 1..=20 {
        let mut racers = JoinSet::new();
        for _ in 0..RACERS {
            let log = log.clone();
            racers.spawn(async move { log.append(&run(1), at, &[record(round)]).await });
        }
        let (won, lost): (Vec<_>, Vec<_>) =
            racers.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, RACERS - 1), "round {round}");
        at = *won[0].as_ref().expect("the winner's revision");
        for loser in lost {
            assert!(matches!(loser, Err(AppendError::Conflict { actual }) if actual == at));
        }
    }
    assert_eq!(seqs(&log, 1).await, (1..=20).collect::<Vec<_>>());
}

pub(crate) async fn a_stale_append_learns_the_actual_revision(engine: &dyn Engine) {
    let log = engine.open().log;
    let first = append_each(&log, 1, Rev::ZERO, 1..=1).await;
    let second = append_each(&log, 1, first, 2..=2).await;
    for stale in [Rev::ZERO, first] {
        let error = log.append(&run(1), stale, &[record(3)]).await.expect_err("it is stale");
        assert!(matches!(error, AppendError::Conflict { actual } if actual == second), "{error}");
        let error = log.append(&run(1), stale, &[]).await.expect_err("it is stale");
        assert!(matches!(error, AppendError::Conflict { actual } if actual == second), "{error}");
    }
    assert_eq!(log.append(&run(1), second, &[]).await.expect("nothing to append"), second);
    let error = log.append(&run(2), second, &[record(1)]).await.expect_err("another run");
    assert!(matches!(error, AppendError::Conflict { actual: Rev::ZERO }), "{error}");
}

pub(crate) async fn a_batch_is_stored_whole_or_not_at_all(engine: &dyn Engine) {
    let log = engine.open().log;
    let batch = [record(1), record(2), record(3)];
    let at = log.append(&run(1), Rev::ZERO, &batch).await.expect("append");
    assert_eq!(seqs(&log, 1).await, [1, 2, 3]);
    let large = [record(4), record_with(5, "x".repeat(APPEND_BYTES_MAX))];
    let error = log.append(&run(1), at, &large).await.expect_err("it is too large");
    assert!(matches!(error, AppendError::TooLarge { .. }), "{error}");
    let stale = log.append(&run(1), Rev::ZERO, &[record(4), record(5)]).await;
    assert!(stale.is_err());
    assert_eq!(seqs(&log, 1).await, [1, 2, 3]);
}

pub(crate) async fn runs_do_not_see_each_other(engine: &dyn Engine) {
    let log = engine.open().log;
    let mut tasks = JoinSet::new();
    for id in 1..=5 {
        let log = log.clone();
        tasks.spawn(async move { append_each(&log, id, Rev::ZERO, 1..=40).await });
    }
    let newest = tasks.join_all().await.into_iter().max().expect("five runs");
    for id in 1..=5 {
        assert_eq!(seqs(&log, id).await, (1..=40).collect::<Vec<_>>());
    }
    assert_eq!(log.head().await.expect("head"), newest);
    // A scan in small steps sees everything once.
    let (mut at, mut seen) = (Rev::ZERO, BTreeSet::new());
    loop {
        let page = log.scan(at, 7).await.expect("scan");
        let Some((last, _, _)) = page.last() else { break };
        at = *last;
        assert!(page.iter().all(|(_, id, record)| seen.insert((id.clone(), record.seq))));
    }
    assert_eq!(seen.len(), 200);
    let part = log.read(&run(1), Rev::ZERO, 3).await.expect("read");
    assert_eq!(part.iter().map(|(_, record)| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
    let rest = log.read(&run(1), part[2].0, usize::MAX).await.expect("read");
    assert_eq!(rest.len(), 37);
}

pub(crate) async fn a_tail_across_reopening_has_no_gap(engine: &dyn Engine) {
    let first = {
        let log = engine.open().log;
        let at = append_each(&log, 1, Rev::ZERO, 1..=300).await;
        append_each(&log, 2, Rev::ZERO, 1..=300).await;
        let seen = follow(&log, Scope::Run(run(1)), Rev::ZERO, 120).await;
        assert_eq!(seen.last().expect("items").2.seq, 120);
        assert!(seen.last().expect("items").0 < at);
        seen.last().expect("items").0
    };
    // The cursor travels as text.
    let cursor: Rev = first.to_string().parse().expect("cursor");
    let log = engine.open().log;
    let rest = follow(&log, Scope::Run(run(1)), cursor, 180).await;
    assert_eq!(
        rest.iter().map(|item| item.2.seq).collect::<Vec<_>>(),
        (121..=300).collect::<Vec<_>>()
    );
    let all = follow(&log, Scope::All, Rev::ZERO, 600).await;
    for id in [1, 2] {
        let of_run = all.iter().filter(|item| item.1 == run(id)).map(|item| item.2.seq);
        assert!(of_run.eq(1..=300), "in order, without gaps");
    }
}

pub(crate) async fn a_tail_is_woken_by_an_append(engine: &dyn Engine) {
    let log = engine.open().log;
    let mut all = log.tail(Scope::All, log.head().await.expect("head"));
    let mut one = log.tail(Scope::Run(run(2)), Rev::ZERO);
    let mut at = Rev::ZERO;
    for seq in 1..=50 {
        at = append_each(&log, 2, at, seq..=seq).await;
        for tail in [&mut all, &mut one] {
            let (rev, id, record) = tail.next().await.expect("endless").expect("item");
            assert_eq!((rev, id, record.seq), (at, run(2), seq));
        }
    }
    append_each(&log, 3, Rev::ZERO, 1..=1).await;
    assert_eq!(all.next().await.expect("endless").expect("item").1, run(3));
}

pub(crate) async fn a_forgotten_run_is_gone_and_fenced(engine: &dyn Engine) {
    let log = engine.open().log;
    let at = append_each(&log, 1, Rev::ZERO, 1..=3).await;
    let other = append_each(&log, 2, Rev::ZERO, 1..=1).await;
    log.forget(&run(1)).await.expect("forget");
    log.forget(&run(1)).await.expect("forget again");
    assert_eq!(seqs(&log, 1).await, [0; 0]);
    let error = log.append(&run(1), at, &[record(4)]).await.expect_err("it is gone");
    assert!(matches!(error, AppendError::Conflict { actual: Rev::ZERO }), "{error}");
    assert_eq!(log.scan(Rev::ZERO, 10).await.expect("scan").len(), 1);
    let again = append_each(&log, 1, Rev::ZERO, 1..=1).await;
    assert!(again > other, "revisions are never used twice");
}
