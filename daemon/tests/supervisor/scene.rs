//! One job in a directory of its own, and what it comes to.

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use handoff_daemon::supervisor::output::{Position, Reader, Stream};
use handoff_daemon::supervisor::{
    AttachError, Attached, Job, JobEvent, JobExit, Reads, Remains, Step, attach, create, start_with,
};
use handoff_sandbox::{Access, Account, Limits, Mount, Network, Spec};
use rustix::process::Pid;

/// The executable that has the hidden subcommands.
pub(crate) const HANDOFFD: &str = env!("CARGO_BIN_EXE_handoffd");

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a shell script wait until [`Scene::go`].
pub(crate) const WAIT: &str = "until [ -e go ]; do read _ < /dev/null; done;";

/// One job in a directory of its own.
pub(crate) struct Scene {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) job_dir: PathBuf,
    /// A number that no other test has.
    pub(crate) number: u32,
}

/// What the commands of a job wrote.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() % 40_000 * 100 + NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::tempdir().expect("temporary directory");
        let job_dir = directory.path().join("job");
        Self { directory, job_dir, number }
    }

    /// A command that never ends by itself and that no other test has.
    pub(crate) fn sleep(&self) -> String {
        format!("sleep 90{}", self.number)
    }

    /// Describes a shell script in a jail.
    pub(crate) fn spec(&self, script: &str) -> Spec {
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
            terminal: None,
            network: Network::None,
            limits: Limits { open_files: 1024, ..Limits::default() },
            umask: 0o022,
            require: Vec::new(),
        }
    }

    pub(crate) fn step(&self, name: &str, script: &str) -> Step {
        Step { name: name.into(), spec: self.spec(script) }
    }

    pub(crate) fn job(&self, script: &str) -> Job {
        Job {
            egress: None,
            steps: vec![self.step("the command", script)],
            time_limit_seconds: None,
            setup_limit_seconds: None,
            output_limit_bytes: 1 << 30,
            kill_grace_ms: 300,
            disk: None,
            writable: None,
            reads: Reads::Nothing,
        }
    }

    pub(crate) async fn begin(&self, job: &Job) -> Attached {
        create(&self.job_dir, job).await.expect("create");
        start_with(Path::new(HANDOFFD), &self.job_dir).await.expect("start");
        attach(&self.job_dir).await.expect("attach")
    }

    /// Runs a job to its end.
    pub(crate) async fn run(&self, job: &Job) -> (JobExit, Output) {
        create(&self.job_dir, job).await.expect("create");
        start_with(Path::new(HANDOFFD), &self.job_dir).await.expect("start");
        let exit = match attach(&self.job_dir).await {
            Ok(mut attached) => last(&mut attached).await,
            Err(AttachError::NotRunning(Remains::Exited(exit))) => *exit,
            Err(error) => panic!("attach: {error}"),
        };
        (exit, self.output().await)
    }

    /// Lets a command go on that waits by [`WAIT`].
    pub(crate) fn go(&self) {
        self.let_go("go");
    }

    /// Makes a file that a command waits for.
    pub(crate) fn let_go(&self, name: &str) {
        fs::write(self.directory.path().join("work").join(name), "").expect("write");
    }

    pub(crate) async fn output(&self) -> Output {
        let mut output = Output::default();
        output.read_on(&mut Reader::new(&self.job_dir, Position::START)).await;
        output
    }

    /// Waits until the command has written this to its standard output.
    pub(crate) async fn wait_for(&self, attached: &mut Attached, text: &str) {
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
    pub(crate) fn processes(&self, needle: &str) -> Vec<Pid> {
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

    pub(crate) fn supervisor(&self) -> Pid {
        let mut found = self.processes(&format!("supervise-detached {}", self.job_dir.display()));
        // Its child looks the same until it executes another program.
        found
            .retain(|pid| rustix::process::getsid(Some(*pid)).is_ok_and(|session| session == *pid));
        assert_eq!(found.len(), 1, "one supervisor: {found:?}");
        found[0]
    }

    /// Checks that no process of the commands is left and that the supervisor kept its files only.
    pub(crate) fn check_nothing_left(&self) {
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
    pub(crate) async fn read_on(&mut self, reader: &mut Reader) {
        while let Some(record) = reader.next().await.expect("read output") {
            match record.stream {
                Stream::Stdout => self.stdout.extend(record.bytes),
                Stream::Stderr => self.stderr.extend(record.bytes),
            }
        }
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

pub(crate) fn is_last(event: &JobEvent) -> bool {
    matches!(event, JobEvent::Exited(_) | JobEvent::Vanished)
}

/// Returns all events that are still to come.
pub(crate) async fn events(attached: &mut Attached) -> Vec<JobEvent> {
    let mut events = Vec::new();
    while !events.last().is_some_and(is_last) {
        events.push(within(attached.next_event()).await.expect("event"));
    }
    events
}

pub(crate) async fn last(attached: &mut Attached) -> JobExit {
    match events(attached).await.pop() {
        Some(JobEvent::Exited(exit)) => exit,
        other => panic!("expected an exit, got {other:?}"),
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}
