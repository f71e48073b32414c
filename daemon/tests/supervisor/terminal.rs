//! Commands on a terminal: typed at, resized and read by whoever is attached.

use handoff_daemon::supervisor::{Ended, Job, Terminal};
use handoff_sandbox::{ExitStatus, TerminalSize};

use crate::scene::{Scene, last, text};

fn on_terminal(scene: &Scene, script: &str) -> Job {
    let mut job = scene.job(script);
    for step in &mut job.steps {
        step.spec.terminal = Some(TerminalSize { rows: 24, columns: 80 });
    }
    job
}

async fn terminal(scene: &Scene) -> Terminal {
    Terminal::find(&scene.job_dir).await.expect("find").0
}

#[tokio::test]
async fn a_command_has_a_terminal_that_shows_what_is_typed() {
    let scene = Scene::new();
    let script = "tty; stty size; echo error >&2; read line; echo got $line; stty size; \
                  [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three > /dev/tty";
    let mut attached = scene.begin(&on_terminal(&scene, script)).await;
    scene.wait_for(&mut attached, "error").await;
    let mut terminal = terminal(&scene).await;
    terminal.resize(30, 100).await.expect("resize");
    terminal.type_keys(b"word\n").await.expect("type");
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
    let output = scene.output().await;
    let shown = "/dev/pts/0\r\n24 80\r\nerror\r\nword\r\ngot word\r\n30 100\r\nthree\r\n";
    assert_eq!(text(&output.stdout), shown);
    assert_eq!(text(&output.stderr), "");
    scene.check_nothing_left();
}

#[tokio::test]
async fn ctrl_c_interrupts_what_runs_in_front() {
    let scene = Scene::new();
    let mut attached = scene.begin(&on_terminal(&scene, "echo up; exec sleep 1000")).await;
    scene.wait_for(&mut attached, "up").await;
    terminal(&scene).await.type_keys(b"\x03").await.expect("type");
    assert_eq!(last(&mut attached).await.ended, Ended::Signal { signal: 2 });
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_that_ignores_being_asked_hears_that_its_terminal_goes() {
    let scene = Scene::new();
    let script = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let mut attached = scene.begin(&on_terminal(&scene, script)).await;
    scene.wait_for(&mut attached, "up").await;
    attached.stop(std::time::Duration::from_secs(60)).await.expect("stop");
    let ended = Ended::Cancelled { status: Some(ExitStatus::Signal(1)) };
    assert_eq!(last(&mut attached).await.ended, ended);
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_may_let_go_of_its_terminal_and_come_back() {
    let scene = Scene::new();
    let script = "exec <&- >&- 2>&-; sleep 0.3; exec > /dev/tty; echo back; (sleep 1000 &)";
    let (exit, output) = scene.run(&on_terminal(&scene, script)).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 });
    assert_eq!(text(&output.stdout), "back\r\n");
    scene.check_nothing_left();
}

#[tokio::test]
async fn who_comes_late_is_told_where_the_last_screens_begin() {
    let scene = Scene::new();
    let script = "head -c 1000000 /dev/zero | tr '\\0' x; echo; read end";
    let mut attached = scene.begin(&on_terminal(&scene, script)).await;
    scene.wait_for(&mut attached, "\r\n").await;
    let (mut terminal, tail) = Terminal::find(&scene.job_dir).await.expect("find");
    assert!((700_000..1_000_000).contains(&tail.get()), "{tail:?}");
    let mut reader = handoff_daemon::supervisor::output::Reader::new(&scene.job_dir, tail);
    reader.next().await.expect("a place between records").expect("output");
    terminal.type_keys(b"\n").await.expect("type");
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
}
