//! Limits of time count the time in which a command could work.

use handoff_daemon::supervisor::{Ended, Job, Pace, Reads, attach};

use crate::scene::{Scene, last, within};

/// Seconds that a command may take; enough to begin on a busy machine.
const LIMIT: u64 = 6;

/// An agent: somebody talks to it.
fn talked_to(scene: &Scene) -> Job {
    let mut job = scene.job(&format!("echo up; exec {}", scene.sleep()));
    (job.time_limit_seconds, job.reads) = (Some(LIMIT), Reads::Pipe);
    job
}

/// Waits until the time of a job like that is over.
async fn until_its_time_is_over() {
    let scene = Scene::new();
    let mut job = talked_to(&scene);
    job.reads = Reads::Nothing;
    assert_eq!(scene.run(&job).await.0.ended, Ended::TimedOut { limit_seconds: LIMIT });
}

#[tokio::test]
async fn a_command_is_not_ended_for_waiting_whoever_follows_it() {
    let scene = Scene::new();
    let mut attached = scene.begin(&talked_to(&scene)).await;
    scene.wait_for(&mut attached, "up").await;
    attached.keep_pace(5, Pace::Waits).await.expect("tell");
    until_its_time_is_over().await;
    // Another daemon takes it up, and is told nothing that it has not told.
    drop(attached);
    let mut attached = attach(&scene.job_dir).await.expect("attach");
    until_its_time_is_over().await;
    attached.keep_pace(5, Pace::Waits).await.expect("tell");
    attached.keep_pace(6, Pace::Works).await.expect("tell");
    assert_eq!(last(&mut attached).await.ended, Ended::TimedOut { limit_seconds: LIMIT });
    scene.check_nothing_left();
}

#[tokio::test]
async fn what_nobody_follows_may_have_asked_something() {
    let scene = Scene::new();
    let mut attached = scene.begin(&talked_to(&scene)).await;
    scene.wait_for(&mut attached, "up").await;
    attached.keep_pace(5, Pace::Works).await.expect("tell");
    drop(attached);
    until_its_time_is_over().await;
    until_its_time_is_over().await;
    let mut attached = attach(&scene.job_dir).await.expect("it goes on");
    attached.keep_pace(7, Pace::Waits).await.expect("tell");
    until_its_time_is_over().await;
    // It had all of its time left when it began to wait.
    within(attached.keep_pace(8, Pace::Works)).await.expect("tell");
    assert_eq!(last(&mut attached).await.ended, Ended::TimedOut { limit_seconds: LIMIT });

    let scene = Scene::new();
    let mut attached = scene.begin(&talked_to(&scene)).await;
    scene.wait_for(&mut attached, "up").await;
    drop(attached);
    until_its_time_is_over().await;
    until_its_time_is_over().await;
    let mut attached = attach(&scene.job_dir).await.expect("it goes on");
    attached.keep_pace(7, Pace::Works).await.expect("tell");
    assert_eq!(last(&mut attached).await.ended, Ended::TimedOut { limit_seconds: LIMIT });
    scene.check_nothing_left();
}
