//! Supervisors as processes: a job goes on whatever happens to who started it, ends when it has to,
//! and leaves nothing behind. Needs bubblewrap, and does as root what it does for anybody.

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use handoff_daemon::supervisor::output::{Position, Reader, Stream};
use handoff_daemon::supervisor::{
    AttachError, Attached, CreateError, DiscardError, Ended, Job, JobEvent, JobExit, Remains,
    StartError, Step, attach, create, discard, start_with, started,
};
use handoff_sandbox::{Access, Account, ExitStatus, Limits, Mount, Network, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

/// The executable that has the hidden subcommands.
const HANDOFFD: &str = env!("CARGO_BIN_EXE_handoffd");

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a shell script wait until [`Scene::go`].
const WAIT: &str = "until [ -e go ]; do read _ < /dev/null; done;";

/// Names a job directory to the test that plays the daemon.
const PLAY_DAEMON: &str = "HANDOFF_TEST_PLAY_DAEMON";

/// One job in a directory of its own.
struct Scene {
    directory: tempfile::TempDir,
    job_dir: PathBuf,
    /// A number that no other test has.
    number: u32,
}

/// What the commands of a job wrote.
#[derive(Debug, Default, PartialEq, Eq)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() % 40_000 * 100 + NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::tempdir().expect("temporary directory");
        let job_dir = directory.path().join("job");
        Self { directory, job_dir, number }
    }

    /// A command that never ends by itself and that no other test has.
    fn sleep(&self) -> String {
        format!("sleep 90{}", self.number)
    }

    /// Describes a shell script in a jail.
    fn spec(&self, script: &str) -> Spec {
        let work = self.directory.path().join("work");
        if !work.exists() {
            fs::create_dir(&work).expect("create");
        }
        // As root every run has a uid of its own.
        let root = rustix::process::geteuid().is_root();
        let host_uid = root.then_some(300_000 + self.number % 100_000);
        chown(&work, host_uid, host_uid).expect("change owner");
        for parent in work.ancestors().skip(1).take(1) {
            fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).expect("permissions");
        }
        Spec {
            name: format!("supervisor-test-{}", self.number),
            argv: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: "/home/alice/work".into(),
            account: Account {
                uid: 1000,
                gid: 1000,
                user: "alice".into(),
                home: "/home/alice".into(),
            },
            host_uid,
            hostname: "handoff".into(),
            mounts: vec![Mount {
                source: fs::canonicalize(&work).expect("real path"),
                target: "/home/alice/work".into(),
                access: Access::ReadWrite,
            }],
            overlays: Vec::new(),
            network: Network::None,
            limits: Limits { open_files: 1024, ..Limits::default() },
            umask: 0o022,
            require: Vec::new(),
        }
    }

    fn step(&self, name: &str, script: &str) -> Step {
        Step { name: name.into(), spec: self.spec(script) }
    }

    fn job(&self, script: &str) -> Job {
        Job {
            steps: vec![self.step("the command", script)],
            time_limit_seconds: None,
            setup_limit_seconds: None,
            output_limit_bytes: 1 << 30,
            kill_grace_ms: 300,
        }
    }

    async fn begin(&self, job: &Job) -> Attached {
        create(&self.job_dir, job).await.expect("create");
        start_with(Path::new(HANDOFFD), &self.job_dir).await.expect("start");
        attach(&self.job_dir).await.expect("attach")
    }

    /// Runs a job to its end.
    async fn run(&self, job: &Job) -> (JobExit, Output) {
        create(&self.job_dir, job).await.expect("create");
        start_with(Path::new(HANDOFFD), &self.job_dir).await.expect("start");
        let exit = match attach(&self.job_dir).await {
            Ok(mut attached) => last(&mut attached).await,
            Err(AttachError::NotRunning(Remains::Exited(exit))) => exit,
            Err(error) => panic!("attach: {error}"),
        };
        (exit, self.output().await)
    }

    /// Lets a command go on that waits by [`WAIT`].
    fn go(&self) {
        self.let_go("go");
    }

    /// Makes a file that a command waits for.
    fn let_go(&self, name: &str) {
        fs::write(self.directory.path().join("work").join(name), "").expect("write");
    }

    async fn output(&self) -> Output {
        let mut output = Output::default();
        output.read_on(&mut Reader::new(&self.job_dir, Position::START)).await;
        output
    }

    /// Waits until the command has written this to its standard output.
    async fn wait_for(&self, attached: &mut Attached, text: &str) {
        let mut output = Output::default();
        let mut reader = Reader::new(&self.job_dir, Position::START);
        loop {
            output.read_on(&mut reader).await;
            if String::from_utf8_lossy(&output.stdout).contains(text) {
                return;
            }
            let event = within(attached.next_event()).await.expect("event");
            assert!(!is_last(&event), "ended without {text:?}: {event:?} {output:?}");
        }
    }

    /// Lists the processes with this in their command line.
    fn processes(&self, needle: &str) -> Vec<Pid> {
        let needle = needle.as_bytes();
        let entries = fs::read_dir("/proc").expect("list processes");
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
                let mut line = fs::read(entry.path().join("cmdline")).ok()?;
                line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
                line.windows(needle.len()).any(|part| part == needle).then_some(pid)
            })
            .collect()
    }

    fn supervisor(&self) -> Pid {
        let mut found = self.processes(&format!("supervise-detached {}", self.job_dir.display()));
        // Its child looks the same until it executes another program.
        found
            .retain(|pid| rustix::process::getsid(Some(*pid)).is_ok_and(|session| session == *pid));
        assert_eq!(found.len(), 1, "one supervisor: {found:?}");
        found[0]
    }

    /// Checks that no process of the commands is left and that the supervisor kept its files only.
    fn check_nothing_left(&self) {
        assert_eq!(self.processes(&self.sleep()), [], "processes left");
        let mut names: Vec<String> = fs::read_dir(&self.job_dir)
            .expect("list")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .filter(|name| name != "started.json")
            .collect();
        names.sort();
        let expected = ["exit.json", "job.json", "lock", "output", "spawned", "supervisor.log"];
        assert_eq!(names, expected);
        assert_eq!(fs::read_to_string(self.job_dir.join("supervisor.log")).expect("log"), "");
    }
}

impl Output {
    async fn read_on(&mut self, reader: &mut Reader) {
        while let Some(record) = reader.next().await.expect("read output") {
            match record.stream {
                Stream::Stdout => self.stdout.extend(record.bytes),
                Stream::Stderr => self.stderr.extend(record.bytes),
            }
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

fn is_last(event: &JobEvent) -> bool {
    matches!(event, JobEvent::Exited(_) | JobEvent::Vanished)
}

/// Returns all events that are still to come.
async fn events(attached: &mut Attached) -> Vec<JobEvent> {
    let mut events = Vec::new();
    while !events.last().is_some_and(is_last) {
        events.push(within(attached.next_event()).await.expect("event"));
    }
    events
}

async fn last(attached: &mut Attached) -> JobExit {
    match events(attached).await.pop() {
        Some(JobEvent::Exited(exit)) => exit,
        other => panic!("expected an exit, got {other:?}"),
    }
}

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

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

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
async fn output_is_whole_and_in_order_however_often_its_reader_comes_back() {
    let scene = Scene::new();
    let (batches, lines) = (10, 2000);
    let script = format!(
        "b=0; while [ $b -lt {batches} ]; do until [ -e go$b ]; do read _ < /dev/null; done; \
         i=0; while [ $i -lt {lines} ]; do echo out $b $i; echo err $b $i >&2; i=$((i+1)); done; \
         b=$((b+1)); done"
    );
    let mut attached = scene.begin(&scene.job(&script)).await;
    scene.let_go("go0");
    let (mut output, mut position, mut comings) = (Output::default(), Position::START, 0);
    let exit = loop {
        match within(attached.next_event()).await.expect("event") {
            JobEvent::Exited(exit) => break exit,
            JobEvent::Vanished => panic!("vanished"),
            JobEvent::Started(_) | JobEvent::OutputLimited => continue,
            JobEvent::Output(_) => comings += 1,
        }
        // A new daemon: it knows nothing but the position that the old one had stored.
        let mut reader = Reader::new(&scene.job_dir, position);
        output.read_on(&mut reader).await;
        position = reader.position();
        attached = match attach(&scene.job_dir).await {
            Ok(attached) => attached,
            Err(AttachError::NotRunning(Remains::Exited(exit))) => break exit,
            Err(error) => panic!("attach: {error}"),
        };
        scene.let_go(&format!("go{comings}"));
    };
    let mut reader = Reader::new(&scene.job_dir, position);
    output.read_on(&mut reader).await;
    assert_eq!(reader.position(), exit.output.end);
    assert_eq!(exit.ended, Ended::Code { code: 0 });
    assert!(comings >= batches, "the reader came back {comings} times");
    for (stream, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        let batch = |b| (0..lines).map(move |i| format!("{stream} {b} {i}\n"));
        let expected: String = (0..batches).flat_map(batch).collect();
        assert!(text(bytes) == expected, "{stream} has {} bytes", bytes.len());
    }
    let kept_bytes = (output.stdout.len() + output.stderr.len()) as u64;
    assert_eq!((exit.output.kept_bytes, exit.output.dropped_bytes), (kept_bytes, 0));
    scene.check_nothing_left();
}

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
async fn a_job_survives_the_death_of_the_daemon_that_started_it() {
    let scene = Scene::new();
    let job = scene.job(&format!("{WAIT} echo done"));
    create(&scene.job_dir, &job).await.expect("create");
    let mut daemon = Command::new(std::env::current_exe().expect("this executable"))
        .args(["--exact", "plays_the_daemon_of_another_test", "--nocapture"])
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
async fn a_stubborn_command_ends_with_its_time() {
    let scene = Scene::new();
    let sleep = scene.sleep();
    let script = format!(
        "trap '' TERM; (setsid sh -c 'trap \"\" TERM; {sleep} & echo inner; {sleep}' &); \
         {sleep} & echo outer; kill -STOP $$; {sleep}"
    );
    let mut job = scene.job(&script);
    job.time_limit_seconds = Some(1);
    let start = Instant::now();
    let mut attached = scene.begin(&job).await;
    scene.wait_for(&mut attached, "inner").await;
    scene.wait_for(&mut attached, "outer").await;
    let processes = scene.processes(&sleep);
    assert!(processes.len() >= 4, "{processes:?}");
    let exit = last(&mut attached).await;
    let took = start.elapsed();
    assert_eq!(exit.ended, Ended::TimedOut { limit_seconds: 1 });
    assert!(took >= Duration::from_millis(1300) && took < Duration::from_secs(10), "{took:?}");
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_whose_time_is_over_may_say_goodbye() {
    let scene = Scene::new();
    let mut job = scene.job(&format!("trap 'echo bye; exit 0' TERM; {} & wait", scene.sleep()));
    (job.time_limit_seconds, job.kill_grace_ms) = (Some(1), 60_000);
    let (exit, output) = scene.run(&job).await;
    assert_eq!(exit.ended, Ended::TimedOut { limit_seconds: 1 });
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
async fn output_past_the_limit_is_dropped_and_the_command_goes_on() {
    let scene = Scene::new();
    let mut job = scene.job(&format!("{WAIT} head -c 3000000 /dev/zero | tr '\\0' x; exit 5"));
    job.output_limit_bytes = 1_000_001;
    let mut attached = scene.begin(&job).await;
    scene.go();
    let events = events(&mut attached).await;
    let limited = events.iter().filter(|event| **event == JobEvent::OutputLimited).count();
    assert_eq!(limited, 1, "{events:?}");
    let Some(JobEvent::Exited(exit)) = events.last() else { panic!("{events:?}") };
    assert_eq!(exit.ended, Ended::Code { code: 5 });
    assert_eq!((exit.output.kept_bytes, exit.output.dropped_bytes), (1_000_001, 1_999_999));
    assert_eq!(scene.output().await.stdout, vec![b'x'; 1_000_001]);
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

#[tokio::test]
async fn a_command_can_open_its_own_streams() {
    let scene = Scene::new();
    let (exit, output) =
        scene.run(&scene.job("echo out > /dev/stdout; echo err > /dev/stderr")).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 }, "{output:?}");
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out\n".into(), "err\n".into()));
}

#[tokio::test]
async fn one_that_does_not_read_holds_up_nobody() {
    let scene = Scene::new();
    create(&scene.job_dir, &scene.job(&format!("{WAIT} seq 300000"))).await.expect("create");
    start_with(Path::new(HANDOFFD), &scene.job_dir).await.expect("start");
    let mut deaf = UnixStream::connect(scene.job_dir.join("supervisor.sock")).expect("connect");
    deaf.write_all(b"{\"type\":\"attach\"}\n").expect("attach");
    let (mut one, mut other) = (
        attach(&scene.job_dir).await.expect("attach"),
        attach(&scene.job_dir).await.expect("attach"),
    );
    scene.go();
    let (one, other) = tokio::join!(last(&mut one), last(&mut other));
    assert_eq!(one, other);
    assert_eq!(one.ended, Ended::Code { code: 0 });
    let expected: String = (1..=300_000).map(|i| format!("{i}\n")).collect();
    assert!(text(&scene.output().await.stdout) == expected);
    drop(deaf);
    scene.check_nothing_left();
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
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&scene.job_dir), 0o700);
    for entry in fs::read_dir(&scene.job_dir).expect("list") {
        let path = entry.expect("entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    attached.kill().await.expect("kill");
    last(&mut attached).await;
}
