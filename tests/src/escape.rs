//! What the escape attempts share: a laboratory on the host, and jails in it.
//!
//! An attempt first proves that its act works outside, then expects the exact denial inside. Each
//! attempt runs twice: with a caller that is root, and with one that is an ordinary user.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use handoff_sandbox::{Access, Account, Isolation, Layer, Limits, Mount, Network, Refusal, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

/// An ordinary user that no distribution gives out.
pub const USER: u32 = 54_321;

/// The host uid of runs whose caller is root.
pub const RUN: u32 = 54_400;

/// The uid of the account inside.
pub const INSIDE: u32 = 1000;

/// The program of every attempt that needs system calls; part of the base system of Debian and
/// its relatives.
pub const PERL: &str = "/usr/bin/perl";

/// Makes two tests of an attempt, one for each kind of caller.
#[macro_export]
macro_rules! attempt {
    ($attempt:path) => {
        #[test]
        fn as_root() {
            $attempt(&$crate::escape::Lab::new(
                env!("CARGO_BIN_EXE_jail"),
                $crate::escape::Caller::Root,
            ));
        }

        #[test]
        fn as_an_ordinary_user() {
            $attempt(&$crate::escape::Lab::new(
                env!("CARGO_BIN_EXE_jail"),
                $crate::escape::Caller::User,
            ));
        }
    };
}

/// Who starts the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Root, who gives the run a uid of its own.
    Root,
    /// An ordinary user, whose uid the run shares.
    User,
}

/// A directory of the host, reachable for everybody, with a copy of the jail program in it.
#[derive(Debug)]
pub struct Lab {
    directory: TempDir,
    caller: Caller,
}

impl Lab {
    /// Makes a laboratory.
    ///
    /// # Panics
    ///
    /// Panics if the tests do not run as root: only root can play both callers.
    #[must_use]
    pub fn new(jail: &str, caller: Caller) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "escape attempts need root to play both callers"
        );
        let directory = tempfile::Builder::new()
            .prefix("handoff-escape-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("make a laboratory");
        let lab = Self { directory, caller };
        lab.install(Path::new(jail), "jail", 0o755);
        lab
    }

    /// Returns who starts the jails of this laboratory.
    #[must_use]
    pub const fn caller(&self) -> Caller {
        self.caller
    }

    /// Returns the uid that runs have on the host.
    #[must_use]
    pub const fn host_uid(&self) -> u32 {
        match self.caller {
            Caller::Root => RUN,
            Caller::User => USER,
        }
    }

    /// Returns the uid of the caller.
    #[must_use]
    pub const fn caller_uid(&self) -> u32 {
        match self.caller {
            Caller::Root => 0,
            Caller::User => USER,
        }
    }

    /// Returns a path in the laboratory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory that belongs to the run.
    #[must_use]
    pub fn directory_of_run(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("make a directory");
        chown(&path, Some(self.host_uid()), Some(self.host_uid())).expect("give it to the run");
        path
    }

    /// Copies a program, in a process of its own: as long as this one had the copy open, any
    /// child of another test's would keep it from being executed.
    pub fn install(&self, program: &Path, name: &str, mode: u32) {
        let copied = Command::new("/usr/bin/install")
            .args(["-m", &format!("{mode:o}")])
            .args([program, &self.path(name)])
            .status()
            .expect("run install");
        assert!(copied.success(), "install {}", program.display());
    }

    /// Describes a jail with an empty home, an empty workspace and no network.
    #[must_use]
    pub fn jail(&self, name: &str) -> Jail<'_> {
        let mount = |what: &str, target: &str| Mount {
            source: self.directory_of_run(&format!("{name}-{what}")),
            target: target.into(),
            access: Access::ReadWrite,
        };
        let spec = Spec {
            name: format!("escape-{}-{}-{name}", std::process::id(), self.host_uid()),
            argv: Vec::new(),
            env: vec![
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("HOME".into(), "/home/alice".into()),
            ],
            cwd: "/home/alice/src/app".into(),
            account: Account {
                uid: INSIDE,
                gid: INSIDE,
                user: "alice".into(),
                home: "/home/alice".into(),
            },
            host_uid: (self.caller == Caller::Root).then_some(RUN),
            hostname: "handoff".into(),
            mounts: vec![mount("home", "/home/alice"), mount("ws", "/home/alice/src/app")],
            overlays: Vec::new(),
            network: Network::None,
            limits: Limits {
                memory_bytes: 512 << 20,
                processes: 128,
                open_files: 1024,
                file_size_bytes: None,
                tmp_bytes: 16 << 20,
                shm_bytes: 4 << 20,
            },
            umask: 0o022,
            require: Vec::new(),
        };
        Jail { lab: self, spec, variables: Vec::new(), until_eof: false, prefix: Vec::new() }
    }

    /// Runs a command outside, as the caller.
    pub fn outside<T: AsRef<OsStr>>(&self, command: &[T]) -> Outcome {
        let mut outside = Command::new(&command[0]);
        outside.args(&command[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        outside.current_dir("/").stdin(Stdio::null());
        self.become_caller(&mut outside);
        Outcome::of(outside.output().expect("run the control"), None)
    }

    /// Asks for what this machine can do, as the caller, with one variable set.
    pub fn probe(&self, variable: (&str, &str)) -> Vec<Layer> {
        let mut program = Command::new(self.program());
        program.arg("--probe").env_clear().env(variable.0, variable.1);
        self.become_caller(&mut program);
        let output = program.output().expect("run the jail program");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("layers")
    }

    /// Runs a command outside, as somebody who may do anything in namespaces of its own: what the
    /// kernel of this machine gives to everybody who is not in a jail.
    pub fn outside_with_namespaces<T: AsRef<OsStr>>(&self, command: &[T]) -> Outcome {
        let mut all: Vec<&OsStr> = ["/usr/bin/unshare", "-Urmnpf"].map(OsStr::new).to_vec();
        all.extend(command.iter().map(AsRef::as_ref));
        self.outside(&all)
    }

    fn become_caller(&self, command: &mut Command) {
        if self.caller == Caller::User {
            command.gid(USER).uid(USER);
        }
    }

    fn program(&self) -> PathBuf {
        self.path("jail")
    }
}

/// A jail that is about to be started.
#[derive(Debug)]
pub struct Jail<'a> {
    lab: &'a Lab,
    /// The policy, to be changed at will.
    pub spec: Spec,
    variables: Vec<(OsString, OsString)>,
    until_eof: bool,
    prefix: Vec<OsString>,
}

impl Jail<'_> {
    /// Sets a variable of the caller, not of the command.
    #[must_use]
    pub fn caller_variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Starts the jail program through another one, whose arguments come first.
    #[must_use]
    pub fn started_by<T: Into<OsString>>(mut self, prefix: impl IntoIterator<Item = T>) -> Self {
        self.prefix = prefix.into_iter().map(Into::into).collect();
        self
    }

    /// Shows something more.
    #[must_use]
    pub fn mount(mut self, source: &Path, target: &str, access: Access) -> Self {
        self.spec.mounts.push(Mount { source: source.into(), target: target.into(), access });
        self
    }

    /// Runs a command inside to its end.
    pub fn run<T: AsRef<OsStr>>(mut self, command: &[T]) -> Outcome {
        let (mut program, report) = self.command(command);
        let output = program.stdin(Stdio::null()).output().expect("run the jail program");
        Outcome::of(output, Some(&report))
    }

    /// Starts a command inside; the run is killed when [`Live::kill`] is called.
    #[must_use]
    pub fn start<T: AsRef<OsStr>>(mut self, command: &[T]) -> Live {
        self.until_eof = true;
        let (mut program, report) = self.command(command);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().expect("start the jail program");
        let lines = BufReader::new(child.stdout.take().expect("standard output"));
        Live { child, lines, report }
    }

    fn command<T: AsRef<OsStr>>(&mut self, command: &[T]) -> (Command, PathBuf) {
        self.spec.argv = command.iter().map(|word| word.as_ref().to_owned()).collect();
        let reports = self.lab.path("reports");
        fs::create_dir_all(&reports).expect("make a directory");
        chown(&reports, Some(self.lab.caller_uid()), Some(self.lab.caller_uid())).expect("chown");
        let (spec, report) = (
            self.lab.path(&format!("{}.spec", self.spec.name)),
            reports.join(format!("{}.json", self.spec.name)),
        );
        fs::write(&spec, serde_json::to_vec(&self.spec).expect("serialise")).expect("write");
        let mut words = self.prefix.clone();
        words.extend([self.lab.program().into(), spec.into(), report.clone().into()]);
        words.extend(self.until_eof.then(|| "--until-eof".into()));
        let mut program = Command::new(&words[0]);
        program.args(&words[1..]).env_clear().envs(self.variables.iter().cloned());
        self.lab.become_caller(&mut program);
        (program, report)
    }
}

/// How a command ended.
#[must_use]
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; 128 and the signal when one ended it.
    pub code: i32,
    /// What it wrote.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// What held it in.
    pub isolation: Option<Isolation>,
    /// Why it was not run.
    pub refused: Option<Refusal>,
    /// How often memory ran out, where that is counted.
    pub oom_kills: Option<u64>,
}

impl Outcome {
    fn of(output: std::process::Output, report: Option<&Path>) -> Self {
        let status = output.status;
        let code = status.code().or_else(|| Some(128 + status.signal()?)).expect("an ending");
        let mut outcome = Self {
            code,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            isolation: None,
            refused: None,
            oom_kills: None,
        };
        if let Some(report) = report {
            let bytes = fs::read(report).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
            let mut report: serde_json::Value = serde_json::from_slice(&bytes).expect("a report");
            outcome.isolation =
                serde_json::from_value(report["isolation"].take()).expect("isolation");
            outcome.refused = serde_json::from_value(report["refused"].take()).expect("refusal");
            outcome.oom_kills = report["oom_kills"].as_u64();
        }
        outcome
    }

    /// Asserts that the command ended well and returns what it wrote.
    #[track_caller]
    #[must_use]
    pub fn succeeded(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.stdout
    }

    /// Asserts that the run was refused and returns why.
    #[track_caller]
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        self.refused.as_ref().unwrap_or_else(|| panic!("not refused: {self:?}"))
    }

    /// Asserts one `name value` line of the output.
    #[track_caller]
    pub fn says(&self, name: &str, expected: &str) {
        let found = self.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        assert_eq!(found, Some(expected), "{name} in {self:?}");
    }
}

/// A jail that is running.
#[derive(Debug)]
pub struct Live {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    report: PathBuf,
}

impl Live {
    /// Waits for the next line that the command writes.
    #[must_use]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("read a line");
        assert!(line.ends_with('\n'), "the command ended: {line:?}");
        line.trim_end().to_owned()
    }

    /// Returns the command by its number on the host.
    #[must_use]
    pub fn host_pid(&self) -> u32 {
        first_child(self.init_pid())
    }

    /// Returns process 1 of the jail by its number on the host: the jail program has one child,
    /// bubblewrap, whose child it is.
    #[must_use]
    pub fn init_pid(&self) -> u32 {
        first_child(first_child(self.child.id()))
    }

    /// Kills the caller as the kernel would for want of memory, and waits until the jail has gone.
    pub fn kill_caller(mut self) {
        let init = i32::try_from(self.init_pid()).ok().and_then(Pid::from_raw).expect("a process");
        let init = pidfd_open(init, PidfdFlags::empty()).expect("hold init");
        self.child.kill().expect("kill the caller");
        self.child.wait().expect("wait for the caller");
        let mut ended = [PollFd::new(&init, PollFlags::IN)];
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        assert_eq!(
            poll(&mut ended, Some(&limit)).expect("wait"),
            1,
            "the jail outlives its caller"
        );
    }

    /// Kills the caller at once, wherever it is with the jail, and waits until nobody is left who
    /// could write what the command writes.
    pub fn kill_caller_early(mut self) {
        self.child.kill().expect("kill the caller");
        self.child.wait().expect("wait for the caller");
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        loop {
            let mut readable = [PollFd::new(self.lines.get_ref(), PollFlags::IN)];
            assert_eq!(poll(&mut readable, Some(&limit)).expect("wait"), 1, "somebody is left");
            if self.lines.fill_buf().expect("read").is_empty() {
                return;
            }
            let read = self.lines.buffer().len();
            self.lines.consume(read);
        }
    }

    /// Has the run killed and waits until it is over.
    pub fn kill(mut self) -> Outcome {
        drop(self.child.stdin.take());
        let mut stdout = Vec::new();
        self.lines.read_to_end(&mut stdout).expect("read the rest");
        let mut output = self.child.wait_with_output().expect("wait for the jail program");
        output.stdout = stdout;
        Outcome::of(output, Some(&self.report))
    }
}

fn first_child(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("children");
    children.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a child")
}

/// One act of an attempt: what it is called in the output, and a perl expression that is true if
/// it succeeds and sets `$!` if not. Sockets are at hand, and `text('x')` for system calls, which
/// take no constants.
pub type Act = (&'static str, String);

/// Returns the act of making a system call, with its arguments as perl has them.
#[must_use]
pub fn call(name: &'static str, number: libc::c_long, arguments: &str) -> Act {
    let comma = if arguments.is_empty() { "" } else { ", " };
    (name, format!("syscall({number}{comma}{arguments}) != -1"))
}

/// Returns a command that does each act and writes its name with `ok` or the name of the error.
#[must_use]
pub fn doing(acts: &[Act]) -> Vec<String> {
    let mut script = String::from(
        "use Errno; use Socket qw(:DEFAULT inet_pton); $| = 1; my %name; \
         sub text { my $text = shift; $text } \
         $name{Errno->can($_)->()} = $_ for grep { Errno->can($_) } reverse sort keys %!;",
    );
    for (name, expression) in acts {
        write!(
            script,
            "$! = 0; print '{name} ', (({expression}) ? 'ok' : $name{{$!+0}}), \"\\n\";"
        )
        .expect("write to a string");
    }
    [PERL, "-e", &script].map(str::to_owned).to_vec()
}

/// Returns a command that evaluates a perl script.
#[must_use]
pub fn perl(script: &str) -> [&str; 3] {
    [PERL, "-e", script]
}

/// Returns a command that evaluates a shell script.
#[must_use]
pub fn bash(script: &str) -> [&str; 3] {
    ["/bin/bash", "-c", script]
}
