//! Ends of commands: their own, by a limit of time, by a stop.

use std::time::{Duration, Instant};

use handoff_daemon::supervisor::Ended;
use handoff_sandbox::ExitStatus;

use crate::scene::{PATIENCE, Scene, last, text, within};

#[tokio::test]
async fn codes_and_signals_are_exact() {
    for (script, ended) in [
        ("exit 0", Ended::Code { code: 0 }),
        ("exit 3", Ended::Code { code: 3 }),
        ("exit 255", Ended::Code { code: 255 }),
        ("kill -SEGV $$", Ended::Signal { signal: 11 }),
        ("kill -KILL $$", Ended::Signal { signal: 9 }),
        ("kill -TERM $$", Ended::Signal { signal: 15 }),
    ] {
        let scene = Scene::new();
        let (exit, _) = scene.run(&scene.job(script)).await;
        assert_eq!(exit.ended, ended, "{script}");
        scene.check_nothing_left();
    }
}

#[tokio::test]
async fn a_stubborn_command_ends_with_its_time() {
    let scene = Scene::new();
    let sleep = scene.sleep();
    let script = format!(
        "trap '' TERM; (setsid sh -c 'trap \"\" TERM; {sleep} & echo inner; {sleep}' &); \
         {sleep} & echo outer; kill -STOP $$; {sleep}"
    );
    let mut job = scene.job(&script);
    job.time_limit_seconds = Some(8);
    let start = Instant::now();
    let mut attached = scene.begin(&job).await;
    scene.wait_for(&mut attached, "inner").await;
    scene.wait_for(&mut attached, "outer").await;
    let processes = scene.processes(&sleep);
    assert!(processes.len() >= 4, "{processes:?}");
    let exit = last(&mut attached).await;
    let took = start.elapsed();
    assert_eq!(exit.ended, Ended::TimedOut { limit_seconds: 8 });
    assert!(took >= Duration::from_millis(8300) && took < Duration::from_secs(60), "{took:?}");
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_whose_time_is_over_may_say_goodbye() {
    let scene = Scene::new();
    let mut job = scene.job(&format!("trap 'echo bye; exit 0' TERM; {} & wait", scene.sleep()));
    (job.time_limit_seconds, job.kill_grace_ms) = (Some(3), 60_000);
    let (exit, output) = scene.run(&job).await;
    assert_eq!(exit.ended, Ended::TimedOut { limit_seconds: 3 });
    assert_eq!(text(&output.stdout), "bye\n");
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_that_is_stopped_may_say_goodbye() {
    for (script, status) in [
        ("trap 'echo bye; exit 7' TERM; echo ready; SLEEP & wait", ExitStatus::Code(7)),
        ("echo ready; exec SLEEP", ExitStatus::Signal(15)),
    ] {
        let scene = Scene::new();
        let job = scene.job(&script.replace("SLEEP", &scene.sleep()));
        let mut attached = scene.begin(&job).await;
        scene.wait_for(&mut attached, "ready").await;
        within(attached.stop(PATIENCE)).await.expect("stop");
        let exit = last(&mut attached).await;
        assert_eq!(exit.ended, Ended::Cancelled { status: Some(status) });
        scene.check_nothing_left();
    }
}

#[tokio::test]
async fn a_stop_ends_what_does_not_want_to() {
    let scene = Scene::new();
    let script = format!("trap '' TERM; echo ready; while :; do {}; done", scene.sleep());
    let mut attached = scene.begin(&scene.job(&script)).await;
    scene.wait_for(&mut attached, "ready").await;
    within(attached.stop(Duration::from_millis(100))).await.expect("stop");
    assert_eq!(last(&mut attached).await.ended, Ended::Cancelled { status: None });
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_job_can_be_stopped_at_any_moment() {
    for delay_ms in 0..12 {
        let scene = Scene::new();
        let mut attached = scene.begin(&scene.job(&scene.sleep())).await;
        // Not to wait for anything: to come at another moment of the start each time.
        tokio::time::sleep(Duration::from_millis(delay_ms * 3)).await;
        if delay_ms % 2 == 0 {
            within(attached.kill()).await.expect("kill");
        } else {
            within(attached.stop(Duration::from_millis(50))).await.expect("stop");
        }
        let exit = last(&mut attached).await;
        assert!(matches!(exit.ended, Ended::Cancelled { .. }), "{exit:?}");
        scene.check_nothing_left();
    }
}

#[tokio::test]
async fn what_a_command_leaves_behind_does_not_keep_it_from_ending() {
    let scene = Scene::new();
    let sleep = scene.sleep();
    let (exit, output) =
        scene.run(&scene.job(&format!("{sleep} & (setsid {sleep} &); echo done"))).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 });
    assert_eq!(text(&output.stdout), "done\n");
    scene.check_nothing_left();
}
