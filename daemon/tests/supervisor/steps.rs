//! The steps of a job: set-up before the command, and what is refused by name.

use std::time::Duration;

use handoff_daemon::supervisor::{Ended, JobEvent, started};

use crate::scene::{Output, Scene, WAIT, events, last, text, within};

#[tokio::test]
async fn set_up_comes_first_and_the_command_sees_what_it_did() {
    let scene = Scene::new();
    let mut job = scene.job("cat made; exit 4");
    job.steps.insert(0, scene.step("first", &format!("{WAIT} echo 1 > made; echo one")));
    job.steps.insert(1, scene.step("second", "echo 2 >> made; echo two >&2"));
    let mut attached = scene.begin(&job).await;
    scene.go();
    let events = events(&mut attached).await;
    let starts = events.iter().filter(|event| matches!(event, JobEvent::Started(_))).count();
    assert_eq!(starts, 1, "only the command counts: {events:?}");
    let Some(JobEvent::Exited(exit)) = events.last() else { panic!("{events:?}") };
    assert_eq!(exit.ended, Ended::Code { code: 4 });
    let output = scene.output().await;
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("one\n1\n2\n".into(), "two\n".into())
    );
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_set_up_step_that_fails_is_named_and_nothing_follows() {
    let scene = Scene::new();
    let mut job = scene.job("echo the command");
    job.steps.insert(0, scene.step("npm ci", "echo no such package >&2; exit 9"));
    let (exit, output) = scene.run(&job).await;
    let Ended::Refused { step, detail } = &exit.ended else { panic!("{exit:?}") };
    assert_eq!(step, "setup: npm ci");
    assert!(detail.contains("exit code 9"), "{detail}");
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        (String::new(), "no such package\n".into())
    );
    assert_eq!(started(&scene.job_dir).await.expect("read"), None);
    scene.check_nothing_left();
}

#[tokio::test]
async fn set_up_has_one_limit_and_can_be_stopped() {
    let scene = Scene::new();
    let mut job = scene.job("echo the command");
    job.steps.insert(0, scene.step("slow", &format!("echo ready; {}", scene.sleep())));
    (job.setup_limit_seconds, job.time_limit_seconds) = (Some(1), Some(3600));
    let (exit, _) = scene.run(&job).await;
    assert!(
        matches!(&exit.ended, Ended::Refused { step, detail } if step == "setup: slow" && detail.contains("time")),
        "{exit:?}"
    );
    scene.check_nothing_left();

    let scene = Scene::new();
    job.steps[0] = scene.step("slow", &format!("echo ready; {}", scene.sleep()));
    job.setup_limit_seconds = None;
    let mut attached = scene.begin(&job).await;
    scene.wait_for(&mut attached, "ready").await;
    within(attached.stop(Duration::ZERO)).await.expect("stop");
    assert_eq!(last(&mut attached).await.ended, Ended::Cancelled { status: None });
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_refused_at_its_step() {
    let scene = Scene::new();
    let mut job = scene.job("");
    job.steps[0].spec.argv = vec!["no-such-command".into()];
    let (exit, output) = scene.run(&job).await;
    let Ended::Refused { step, detail } = &exit.ended else { panic!("{exit:?}") };
    assert_eq!(step, "command");
    assert!(detail.contains("no-such-command"), "{detail}");
    assert_eq!(output, Output::default());
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_policy_that_is_not_acceptable_is_refused() {
    let scene = Scene::new();
    let mut job = scene.job("true");
    job.steps[0].spec.name = "Not A Name".into();
    let (exit, _) = scene.run(&job).await;
    assert!(matches!(&exit.ended, Ended::Refused { step, .. } if step == "policy"), "{exit:?}");
    job.steps.clear();
    let scene = Scene::new();
    let (exit, _) = scene.run(&job).await;
    assert!(matches!(&exit.ended, Ended::Refused { step, .. } if step == "policy"), "{exit:?}");
}
