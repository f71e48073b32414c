//! A jail that is about to be started.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use handoff_sandbox::{Access, Account, Limits, Mount, Network, Spec};

use super::{Caller, INSIDE, Lab, Live, Outcome};
use crate::terminal;

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

/// The policy of an account called alice with a home that it has to be given, no network, and limits
/// that no test comes near by accident.
#[must_use]
pub fn policy(name: String) -> Spec {
    Spec {
        name,
        argv: Vec::new(),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        cwd: "/home/alice".into(),
        account: Account {
            uid: INSIDE,
            gid: INSIDE,
            user: "alice".into(),
            home: "/home/alice".into(),
        },
        host_uid: None,
        hostname: "handoff".into(),
        mounts: Vec::new(),
        overlays: Vec::new(),
        terminal: None,
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
    }
}

impl Lab {
    /// Describes a jail with an empty home, an empty workspace and no network.
    #[must_use]
    pub fn jail(&self, name: &str) -> Jail<'_> {
        let mount = |what: &str, target: &str| Mount {
            source: self.directory_of_run(&format!("{name}-{what}")),
            target: target.into(),
            access: Access::ReadWrite,
        };
        let mut spec = policy(format!("escape-{}-{}-{name}", std::process::id(), self.host_uid()));
        spec.env.push(("HOME".into(), "/home/alice".into()));
        spec.cwd = "/home/alice/src/app".into();
        spec.host_uid = match self.caller() {
            Caller::Root | Caller::Subordinate => Some(self.host_uid()),
            Caller::User => None,
        };
        spec.mounts = vec![mount("home", "/home/alice"), mount("ws", "/home/alice/src/app")];
        Jail { lab: self, spec, variables: Vec::new(), until_eof: false, prefix: Vec::new() }
    }
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

    /// Runs a command inside to its end, with this as its standard input.
    pub fn run_from<T: AsRef<OsStr>>(mut self, stdin: OwnedFd, command: &[T]) -> Outcome {
        let (mut program, report) = self.command(command);
        let output = program.stdin(stdin).output().expect("run the jail program");
        Outcome::of(output, Some(&report))
    }

    /// Runs a command inside to its end, with a terminal of the host's, and returns what the
    /// terminal shows.
    pub fn run_on_terminal<T: AsRef<OsStr>>(mut self, command: &[T]) -> String {
        let (ours, path) = terminal::open();
        chown(&path, Some(self.lab.host_uid()), None).expect("give the terminal to the run");
        let theirs = File::options().read(true).write(true).open(&path).expect("open the terminal");
        let (mut program, report) = self.command(command);
        let streams = [(); 3].map(|()| theirs.try_clone().expect("one more descriptor"));
        let [stdin, stdout, stderr] = streams;
        program.stdin(stdin).stdout(stdout).stderr(stderr);
        let mut child = program.spawn().expect("start the jail program");
        drop((program, theirs));
        let shown = String::from_utf8(terminal::shown(ours)).expect("text");
        let status = child.wait().expect("wait for the jail program");
        let report =
            || String::from_utf8_lossy(&fs::read(&report).unwrap_or_default()).into_owned();
        assert!(status.success(), "{status}: {shown}{}", report());
        shown
    }

    /// Starts a command inside; the run is killed when [`Live::kill`] is called.
    #[must_use]
    pub fn start<T: AsRef<OsStr>>(mut self, command: &[T]) -> Live {
        self.until_eof = true;
        let (mut program, report) = self.command(command);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Live::new(program.spawn().expect("start the jail program"), report)
    }

    fn command<T: AsRef<OsStr>>(&mut self, command: &[T]) -> (Command, PathBuf) {
        self.spec.argv = command.iter().map(|word| word.as_ref().to_owned()).collect();
        let reports = self.lab.directory_of_caller("reports");
        let (spec, report) = (
            self.lab.path(&format!("{}.spec", self.spec.name)),
            reports.join(format!("{}.json", self.spec.name)),
        );
        fs::write(&spec, serde_json::to_vec(&self.spec).expect("serialise")).expect("write");
        let mut words = self.prefix.clone();
        words.extend([self.lab.program().into(), spec.into(), report.clone().into()]);
        words.extend(self.until_eof.then(|| "--until-eof".into()));
        let mut program = self.lab.command_of_caller(&words);
        program.env_clear().envs(self.variables.iter().cloned());
        (program, report)
    }
}
