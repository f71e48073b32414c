//! The daemon dies and nothing happens; the supervisor dies and takes everything with it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use handoff_daemon::supervisor::{
    AttachError, Ended, JobEvent, Remains, StartError, attach, create, start_with, started,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

use crate::scene::{HANDOFFD, PATIENCE, Scene, WAIT, events, last, text, within};

/// Names a job directory to the test that plays the daemon.
const PLAY_DAEMON: &str = "HANDOFF_TEST_PLAY_DAEMON";

/// Waits until these processes have ended.
fn wait_for_end(processes: &[OwnedFd]) {
    let deadline = Instant::now() + PATIENCE;
    for process in processes {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("timeout");
        let mut ended = [PollFd::new(process, PollFlags::IN)];
        assert_eq!(poll(&mut ended, Some(&timeout)).expect("poll"), 1, "a process is left");
    }
}

fn hold(processes: &[Pid]) -> Vec<OwnedFd> {
    let open = |pid: &Pid| pidfd_open(*pid, PidfdFlags::empty()).expect("process");
    processes.iter().map(open).collect()
}

/// Takes hold of those that have not ended in the meantime.
fn hold_living(processes: &[Pid]) -> Vec<OwnedFd> {
    processes.iter().filter_map(|pid| pidfd_open(*pid, PidfdFlags::empty()).ok()).collect()
}

#[tokio::test]
async fn a_job_survives_the_death_of_the_daemon_that_started_it() {
    let scene = Scene::new();
    let job = scene.job(&format!("{WAIT} echo done"));
    create(&scene.job_dir, &job).await.expect("create");
    let mut daemon = Command::new(std::env::current_exe().expect("this executable"))
        .args(["--exact", "death::plays_the_daemon_of_another_test", "--nocapture"])
        .env(PLAY_DAEMON, &scene.job_dir)
        .stdout(Stdio::piped())
        .process_group_0()
        .spawn()
        .expect("spawn");
    let stdout = daemon.stdout.take().expect("pipe");
    let attached_line = std::io::BufRead::lines(std::io::BufReader::new(stdout))
        .map(|line| line.expect("line"))
        .find(|line| line.contains("attached"));
    assert!(attached_line.is_some(), "the daemon has attached");
    let group = Pid::from_child(&daemon);
    kill_process_group(group, Signal::KILL).expect("kill the daemon");
    daemon.wait().expect("wait");

    let mut attached = attach(&scene.job_dir).await.expect("attach");
    scene.go();
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
    assert_eq!(text(&scene.output().await.stdout), "done\n");
    scene.check_nothing_left();
}

/// Does nothing unless another test starts it as a process of its own.
#[tokio::test]
async fn plays_the_daemon_of_another_test() {
    let Some(job_dir) = std::env::var_os(PLAY_DAEMON).map(PathBuf::from) else { return };
    start_with(Path::new(HANDOFFD), &job_dir).await.expect("start");
    let mut attached = attach(&job_dir).await.expect("attach");
    println!("attached");
    events(&mut attached).await;
    panic!("the job ended although nobody let it");
}

trait OwnGroup {
    fn process_group_0(&mut self) -> &mut Self;
}

impl OwnGroup for Command {
    fn process_group_0(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::process_group(self, 0)
    }
}

#[tokio::test]
async fn a_supervisor_belongs_to_nobody_and_knows_nothing_of_the_daemon() {
    let scene = Scene::new();
    let mut attached = scene.begin(&scene.job(&scene.sleep())).await;
    let supervisor = scene.supervisor();
    // Compared with its own id, not with this process's session: that one may have been opened
    // outside this pid namespace, where it has no number.
    assert_eq!(rustix::process::getsid(Some(supervisor)).expect("its session"), supervisor);
    let proc = PathBuf::from(format!("/proc/{}", supervisor.as_raw_nonzero()));
    let environment = fs::read(proc.join("environ")).expect("environment");
    let names: Vec<String> = environment
        .split(|byte| *byte == 0)
        .filter_map(|entry| text(entry).split_once('=').map(|(name, _)| name.to_owned()))
        .collect();
    assert!(std::env::vars_os().count() > 2, "there is something to know");
    assert!(names.iter().all(|name| name == "PATH" || name == "HANDOFF_BWRAP"), "{names:?}");
    let status = fs::read_to_string(proc.join("status")).expect("status");
    assert!(status.contains("Threads:\t1\n"), "{status}");
    assert!(!status.contains(&format!("PPid:\t{}\n", std::process::id())), "{status}");
    attached.kill().await.expect("kill");
    assert_eq!(last(&mut attached).await.ended, Ended::Cancelled { status: None });
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_supervisor_that_is_killed_takes_everything_with_it() {
    let scene = Scene::new();
    let sleep = scene.sleep();
    let script = format!("(setsid {sleep} &); {sleep} & echo ready; wait");
    let mut attached = scene.begin(&scene.job(&script)).await;
    scene.wait_for(&mut attached, "ready").await;
    let processes = hold(&scene.processes(&sleep));
    assert!(processes.len() >= 2, "{processes:?}");
    kill_process(scene.supervisor(), Signal::KILL).expect("kill the supervisor");

    let events = events(&mut attached).await;
    assert_eq!(events.last(), Some(&JobEvent::Vanished), "{events:?}");
    wait_for_end(&processes);
    let error = attach(&scene.job_dir).await.expect_err("not running");
    assert!(matches!(error, AttachError::NotRunning(Remains::Vanished)), "{error}");
    let error = start_with(Path::new(HANDOFFD), &scene.job_dir).await.expect_err("it has run");
    assert!(matches!(error, StartError::AlreadySpawned { .. }), "{error}");
    assert!(started(&scene.job_dir).await.expect("read").is_some());
    assert_eq!(text(&scene.output().await.stdout), "ready\n");
}

#[tokio::test]
async fn everybody_hears_of_a_supervisor_that_is_killed_at_any_moment() {
    for delay_ms in 0..12 {
        let scene = Scene::new();
        create(&scene.job_dir, &scene.job(&scene.sleep())).await.expect("create");
        start_with(Path::new(HANDOFFD), &scene.job_dir).await.expect("start");
        let supervisor = scene.supervisor();
        let mut attached = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let job_dir = scene.job_dir.clone();
            attached.spawn(async move {
                match attach(&job_dir).await {
                    Ok(mut attached) => events(&mut attached).await.pop(),
                    Err(AttachError::NotRunning(Remains::Vanished)) => Some(JobEvent::Vanished),
                    Err(error) => panic!("attach: {error}"),
                }
            });
        }
        // Not to wait for anything: to come at another moment of the start each time.
        tokio::time::sleep(Duration::from_millis(delay_ms * 3)).await;
        kill_process(supervisor, Signal::KILL).expect("kill the supervisor");
        let heard = within(attached.join_all()).await;
        assert_eq!(heard, vec![Some(JobEvent::Vanished); 8]);
        // What had just been started may still be there; it ends by itself.
        wait_for_end(&hold_living(&scene.processes(&scene.sleep())));
    }
}
