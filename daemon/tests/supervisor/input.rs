//! What a command reads: sent by whoever is attached, written once.

use handoff_daemon::supervisor::{Ended, Job, Reads, attach};

use crate::scene::{Scene, WAIT, last, text};

fn reading(scene: &Scene, script: &str) -> Job {
    Job { reads: Reads::Pipe, ..scene.job(script) }
}

#[tokio::test]
async fn a_command_reads_each_piece_once_whoever_sends_it() {
    let scene = Scene::new();
    let mut first = scene.begin(&reading(&scene, "read a; echo got $a; cat; echo end")).await;
    first.input("1", "one\n").await.expect("sent");
    scene.wait_for(&mut first, "got one").await;
    // As a daemon does that went down before it could write down what it had sent.
    drop(first);
    let mut second = attach(&scene.job_dir).await.expect("attach");
    second.input("1", "one\n").await.expect("known already");
    second.input("2", "two\n").await.expect("sent");
    let mut third = attach(&scene.job_dir).await.expect("attach");
    third.input("2", "two\n").await.expect("known already");
    third.end_input().await.expect("ended");
    third.input("3", "three\n").await.expect("nobody reads it");
    assert_eq!(last(&mut third).await.ended, Ended::Code { code: 0 });
    assert_eq!(text(&scene.output().await.stdout), "got one\ntwo\nend\n");
    scene.check_nothing_left();
}

#[tokio::test]
async fn what_comes_early_waits_for_the_command_and_no_step_before_it_reads_it() {
    let scene = Scene::new();
    let mut job = reading(&scene, "cat");
    job.steps.insert(0, scene.step("first", &format!("{WAIT} cat; echo first")));
    let mut attached = scene.begin(&job).await;
    let large = "x".repeat(1 << 20);
    attached.input("large", &large).await.expect("sent");
    attached.end_input().await.expect("ended");
    scene.go();
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
    assert_eq!(text(&scene.output().await.stdout), format!("first\n{large}"));
}

#[tokio::test]
async fn a_command_that_does_not_read_ends_all_the_same() {
    let scene = Scene::new();
    let script = format!("{WAIT} exec <&-; exit 3");
    let mut attached = scene.begin(&reading(&scene, &script)).await;
    attached.input("large", &"x".repeat(1 << 20)).await.expect("sent");
    scene.go();
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 3 });
    scene.check_nothing_left();
}
