//! A laboratory on the host.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use handoff_sandbox::{Given, Layer, Refusal};
use tempfile::TempDir;

use super::{Caller, Outcome, RUN, SUBORDINATE, USER};
use crate::subids;

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
            Caller::Subordinate => SUBORDINATE,
        }
    }

    /// Returns the uid of the caller.
    #[must_use]
    pub const fn caller_uid(&self) -> u32 {
        match self.caller {
            Caller::Root => 0,
            Caller::User | Caller::Subordinate => USER,
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
        self.directory_of(self.host_uid(), name)
    }

    /// Makes a directory that belongs to the caller, for what is done outside.
    #[must_use]
    pub fn directory_of_caller(&self, name: &str) -> PathBuf {
        self.directory_of(self.caller_uid(), name)
    }

    fn directory_of(&self, uid: u32, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("make a directory");
        chown(&path, Some(uid), Some(uid)).expect("give it away");
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

    /// Runs a command outside, as the caller.
    pub fn outside<T: AsRef<OsStr>>(&self, command: &[T]) -> Outcome {
        self.outside_from(Stdio::null(), command)
    }

    /// Runs a command outside, as the caller, with this as its standard input.
    pub fn outside_from<T: AsRef<OsStr>>(&self, stdin: impl Into<Stdio>, command: &[T]) -> Outcome {
        let mut outside = Command::new(&command[0]);
        outside.args(&command[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        outside.current_dir("/").stdin(stdin);
        self.become_caller(&mut outside);
        Outcome::of(outside.output().expect("run the control"), None)
    }

    /// Gives what is in these directories to a uid, as the caller.
    ///
    /// # Errors
    ///
    /// As the sandbox does.
    pub fn give(&self, uid: u32, directories: &[&Path]) -> Result<Given, Refusal> {
        let uid = uid.to_string();
        let words: Vec<OsString> = [self.program().as_os_str(), "--give".as_ref(), uid.as_ref()]
            .into_iter()
            .chain(directories.iter().map(|directory| directory.as_os_str()))
            .map(ToOwned::to_owned)
            .collect();
        let output = self.command_of_caller(&words).output().expect("run the jail program");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("an answer")
    }

    /// Asks for what this machine can do, as the caller, with one variable set.
    pub fn probe(&self, variable: (&str, &str)) -> Vec<Layer> {
        let mut program =
            self.command_of_caller(&[self.program().into_os_string(), "--probe".into()]);
        program.env_clear().env(variable.0, variable.1);
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

    pub(super) fn become_caller(&self, command: &mut Command) {
        if self.caller != Caller::Root {
            command.gid(USER).uid(USER);
        }
    }

    /// Returns a command that is run as the caller, who has what ids the caller has.
    pub(super) fn command_of_caller(&self, words: &[OsString]) -> Command {
        if self.caller != Caller::Subordinate {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            self.become_caller(&mut command);
            return command;
        }
        let ids = (SUBORDINATE - 7, 16);
        let mut command = subids::command(self.directory.path(), USER, ids, &words[0]);
        command.args(&words[1..]);
        command
    }

    pub(super) fn program(&self) -> PathBuf {
        self.path("jail")
    }
}
