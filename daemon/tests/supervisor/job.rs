//! A job directory: described, started once, looked into, discarded.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use handoff_daemon::supervisor::{
    AttachError, CreateError, DiscardError, Ended, JobEvent, Remains, StartError, attach, create,
    discard, start_with, started,
};

use crate::scene::{HANDOFFD, Output, Scene, WAIT, events, last, text, within};

#[tokio::test]
async fn events_come_once_and_in_order() {
    let scene = Scene::new();
    let mut attached = scene.begin(&scene.job(&format!("{WAIT} echo hello"))).await;
    scene.go();
    let events = events(&mut attached).await;
    let isolation = started(&scene.job_dir).await.expect("read").expect("it has run");
    let [JobEvent::Started(told), JobEvent::Output(end), JobEvent::Exited(exit)] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((told, end), (&isolation, &exit.output.end));
    assert_eq!(within(attached.next_event()).await.expect("again"), events[2]);
    within(attached.stop(Duration::ZERO)).await.expect("stopping what has ended is no error");
}

#[tokio::test]
async fn a_job_never_runs_twice() {
    let scene = Scene::new();
    let job = scene.job(&format!("echo once; {WAIT}"));
    create(&scene.job_dir, &job).await.expect("create");
    create(&scene.job_dir, &job).await.expect("describe it anew");
    let start = || start_with(Path::new(HANDOFFD), &scene.job_dir);
    let starts = tokio::join!(start(), start(), start(), start());
    let started = <[_; 4]>::from(starts);
    assert_eq!(started.iter().filter(|start| start.is_ok()).count(), 1, "{started:?}");
    let refused =
        |start: &Result<(), StartError>| matches!(start, Err(StartError::AlreadyRunning { .. }));
    assert_eq!(started.iter().filter(|start| refused(start)).count(), 3, "{started:?}");

    let mut attached = attach(&scene.job_dir).await.expect("attach");
    let error = create(&scene.job_dir, &job).await.expect_err("it runs");
    assert!(matches!(error, CreateError::AlreadySpawned { .. }), "{error}");
    scene.go();
    last(&mut attached).await;

    let error = start().await.expect_err("it has run");
    assert!(matches!(error, StartError::AlreadySpawned { .. }), "{error}");
    assert_eq!(text(&scene.output().await.stdout), "once\n");
}

#[tokio::test]
async fn a_job_that_was_never_started_says_so() {
    let scene = Scene::new();
    let error = attach(&scene.job_dir).await.expect_err("there is no job");
    assert!(matches!(error, AttachError::NotRunning(Remains::NeverSpawned)), "{error}");
    assert_eq!(started(&scene.job_dir).await.expect("nothing"), None);
    create(&scene.job_dir, &scene.job("true")).await.expect("create");
    let error = attach(&scene.job_dir).await.expect_err("not running");
    assert!(matches!(error, AttachError::NotRunning(Remains::NeverSpawned)), "{error}");
    assert_eq!(started(&scene.job_dir).await.expect("read"), None);
    assert_eq!(scene.output().await, Output::default());

    fs::write(scene.job_dir.join("job.json"), "{}").expect("write");
    let error = start_with(Path::new(HANDOFFD), &scene.job_dir).await.expect_err("no job");
    assert!(matches!(&error, StartError::Failed { detail, .. } if detail.contains("read the job")));
    let error = attach(&scene.job_dir).await.expect_err("not running");
    assert!(matches!(error, AttachError::NotRunning(Remains::NeverSpawned)), "{error}");
}

#[tokio::test]
async fn a_job_that_is_over_can_be_discarded() {
    let scene = Scene::new();
    discard(&scene.job_dir).await.expect("there is nothing to discard");
    let mut attached = scene.begin(&scene.job(&scene.sleep())).await;
    let error = discard(&scene.job_dir).await.expect_err("it runs");
    assert!(matches!(error, DiscardError::Running { .. }), "{error}");
    attached.kill().await.expect("kill");
    last(&mut attached).await;
    discard(&scene.job_dir).await.expect("discard");
    let left: Vec<_> = fs::read_dir(scene.directory.path())
        .expect("list")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    assert_eq!(left, ["work"]);
    let (exit, _) = scene.run(&scene.job("exit 6")).await;
    assert_eq!(exit.ended, Ended::Code { code: 6 });
}

#[tokio::test]
async fn an_executable_that_is_no_supervisor_is_an_error() {
    let scene = Scene::new();
    create(&scene.job_dir, &scene.job("true")).await.expect("create");
    let error = start_with(Path::new("/bin/true"), &scene.job_dir).await.expect_err("no answer");
    assert!(matches!(error, StartError::Failed { .. }), "{error}");
    let error = start_with(Path::new("/nowhere"), &scene.job_dir).await.expect_err("no program");
    assert!(matches!(error, StartError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_may_have_a_path_longer_than_a_socket_address() {
    let mut scene = Scene::new();
    let long = scene.directory.path().join("d".repeat(200));
    fs::create_dir(&long).expect("create");
    scene.job_dir = long.join("job");
    let (exit, output) = scene.run(&scene.job("echo far down")).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 });
    assert_eq!(text(&output.stdout), "far down\n");
    scene.check_nothing_left();
}

#[tokio::test]
async fn only_the_owner_can_look_into_a_job() {
    let scene = Scene::new();
    let mut attached = scene.begin(&scene.job("echo ready; exec sleep 60")).await;
    scene.wait_for(&mut attached, "ready").await;
    // Whatever is written by being put in place is there.
    within(async {
        while !scene.job_dir.join("started.json").exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&scene.job_dir), 0o700);
    for entry in fs::read_dir(&scene.job_dir).expect("list") {
        let path = entry.expect("entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    attached.kill().await.expect("kill");
    last(&mut attached).await;
}
