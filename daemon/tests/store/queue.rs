//! What every run queue must do. Nothing here sleeps: `wait` says when there is something.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use handoff_daemon::store::LeaseError;
use tokio::task::JoinSet;

use crate::{Engine, sample::run};

const SHORT: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_secs(600);
const CLASS: &[&str] = &["local"];

pub(crate) async fn an_expired_lease_is_given_out_again(engine: &dyn Engine) {
    let queue = engine.open().queue;
    queue.offer(&run(1), "local", 1, SystemTime::now()).await.expect("offer");
    queue.wait(CLASS).await.expect("wait");
    let first = queue.claim("a", CLASS, SHORT).await.expect("claim").expect("a lease");
    queue.wait(CLASS).await.expect("wait");
    assert!(SystemTime::now() >= first.until - Duration::from_millis(1));
    let second = queue.claim("b", CLASS, LONG).await.expect("claim").expect("a lease");
    assert_eq!((&second.run, second.attempt), (&first.run, first.attempt));
    assert_ne!(second.token, first.token);
    // The first worker is late: nothing that it says counts.
    let lost = queue.renew(&first, LONG).await.expect_err("it is lost");
    assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
    queue.done(&first).await.expect("done");
    queue.release(&first, Duration::ZERO).await.expect("release");
    assert!(queue.claim("c", CLASS, SHORT).await.expect("claim").is_none());
    queue.renew(&second, LONG).await.expect("the second lease holds");
}

pub(crate) async fn renewing_holds_a_lease(engine: &dyn Engine) {
    let queue = engine.open().queue;
    queue.offer(&run(1), "local", 1, SystemTime::now()).await.expect("offer");
    queue.offer(&run(2), "local", 1, SystemTime::now() + 4 * SHORT).await.expect("offer");
    let held = queue.claim("a", CLASS, SHORT).await.expect("claim").expect("a lease");
    let held = queue.renew(&held, LONG).await.expect("renew");
    assert!(held.until > SystemTime::now() + LONG / 2);
    // By the time that the other run is due, the unrenewed lease would have been over.
    queue.wait(CLASS).await.expect("wait");
    let other = queue.claim("b", CLASS, LONG).await.expect("claim").expect("a lease");
    assert_eq!((held.run, other.run), (run(1), run(2)));
    assert!(queue.claim("b", CLASS, LONG).await.expect("claim").is_none());
}

pub(crate) async fn an_attempt_offered_twice_is_claimed_once(engine: &dyn Engine) {
    let queue = engine.open().queue;
    let offer = || async {
        queue.offer(&run(1), "local", 1, SystemTime::now()).await.expect("offer");
    };
    offer().await;
    offer().await;
    let held = queue.claim("a", CLASS, LONG).await.expect("claim").expect("a lease");
    offer().await;
    assert!(queue.claim("b", CLASS, LONG).await.expect("claim").is_none());
    queue.done(&held).await.expect("done");
    offer().await;
    assert!(queue.claim("b", CLASS, LONG).await.expect("claim").is_none(), "it was done");
}

pub(crate) async fn a_higher_attempt_replaces_a_lower_one(engine: &dyn Engine) {
    let queue = engine.open().queue;
    queue.offer(&run(1), "local", 1, SystemTime::now()).await.expect("offer");
    let old = queue.claim("a", CLASS, LONG).await.expect("claim").expect("a lease");
    queue.offer(&run(1), "local", 2, SystemTime::now()).await.expect("offer");
    queue.offer(&run(1), "local", 1, SystemTime::now()).await.expect("offer");
    queue.done(&old).await.expect("done");
    let new = queue.claim("a", CLASS, LONG).await.expect("claim").expect("a lease");
    assert_eq!(new.attempt, 2);
    queue.done(&new).await.expect("done");
    queue.done(&new).await.expect("done again");
    queue.forget(&run(1)).await.expect("forget");
    queue.offer(&run(1), "local", 1, SystemTime::now()).await.expect("offer");
    assert!(queue.claim("a", CLASS, LONG).await.expect("claim").is_some(), "forgotten");
}

pub(crate) async fn a_released_run_comes_back_and_a_done_one_does_not(engine: &dyn Engine) {
    let queue = engine.open().queue;
    queue.offer(&run(1), "local", 1, SystemTime::now()).await.expect("offer");
    let held = queue.claim("a", CLASS, LONG).await.expect("claim").expect("a lease");
    queue.release(&held, SHORT).await.expect("release");
    queue.wait(CLASS).await.expect("wait");
    let held = queue.claim("a", CLASS, LONG).await.expect("claim").expect("a lease");
    queue.done(&held).await.expect("done");
    queue.offer(&run(2), "local", 1, SystemTime::now()).await.expect("offer");
    let held = queue.claim("a", CLASS, LONG).await.expect("claim").expect("a lease");
    queue.release(&held, LONG).await.expect("release");
    assert!(queue.claim("a", CLASS, LONG).await.expect("claim").is_none(), "delayed");
    // Closing ends leases, but done is done.
    drop(queue);
    let queue = engine.open().queue;
    assert!(queue.claim("a", CLASS, LONG).await.expect("claim").is_none());
}

pub(crate) async fn a_run_is_not_claimable_before_its_time(engine: &dyn Engine) {
    let queue = engine.open().queue;
    queue.offer(&run(3), "local", 1, SystemTime::now() + LONG).await.expect("offer");
    assert!(queue.claim("a", CLASS, LONG).await.expect("claim").is_none());
    let due = SystemTime::now() + SHORT;
    queue.offer(&run(1), "local", 1, due).await.expect("offer");
    queue.wait(CLASS).await.expect("wait");
    assert!(SystemTime::now() + Duration::from_millis(1) >= due);
    assert!(queue.claim("a", CLASS, LONG).await.expect("claim").is_some());
    // An offer wakes whoever waits.
    let waiter = queue.clone();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { waiter.wait(CLASS).await });
    tokio::task::yield_now().await;
    queue.offer(&run(2), "local", 1, SystemTime::now()).await.expect("offer");
    waiting.join_next().await.expect("one").expect("no panic").expect("wait");
}

pub(crate) async fn workers_share_the_runs_of_their_classes(engine: &dyn Engine) {
    let queue = engine.open().queue;
    for number in 1..=20 {
        let class = if number % 2 == 0 { "even" } else { "odd" };
        queue.offer(&run(number), class, 1, SystemTime::now()).await.expect("offer");
    }
    assert!(queue.claim("a", &["other"], LONG).await.expect("claim").is_none());
    assert!(queue.claim("a", &[], LONG).await.expect("claim").is_none());
    let mut workers = JoinSet::new();
    for worker in 0..4 {
        let queue = queue.clone();
        workers.spawn(async move {
            let mut mine = Vec::new();
            let (name, classes) = (format!("w{worker}"), ["even", "odd"]);
            while let Some(lease) = queue.claim(&name, &classes, LONG).await.expect("claim") {
                mine.push(lease.run);
            }
            mine
        });
    }
    let claimed: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 20);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>().len(), 20, "each run once");
}
