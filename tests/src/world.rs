//! A world of one user: own home, own state, the real `handoff` and `handoffd`, the real git.
//!
//! Nothing of the machine's user leaks in: the environment is built from nothing. What a world
//! started ends with it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use rustix::{
    fs::{Gid, Uid},
    process::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{process, program, subids};

/// An ordinary user that no distribution gives out.
pub const ORDINARY_UID: u32 = 54_321;

/// The subordinate ids of that user, in worlds where there are some: the first, and how many.
pub const SUBORDINATE_IDS: (u32, u32) = (700_000, 64);

/// One user's world.
#[derive(Debug)]
pub struct World {
    directory: TempDir,
    /// None is the user who runs the tests.
    uid: Option<u32>,
    /// The user's subordinate ids, if any.
    subordinate_ids: Option<(u32, u32)>,
    variables: Vec<(OsString, OsString)>,
}

/// What a command said.
#[must_use]
#[derive(Debug)]
pub struct Said {
    /// The command line, for messages.
    pub line: String,
    /// Exit code; 128 and the signal when one ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl World {
    /// A world of the user who runs the tests (root, on CI).
    #[must_use]
    pub fn new() -> Self {
        Self::of(None)
    }

    /// A world of an ordinary user; needs root to become one.
    #[must_use]
    pub fn ordinary() -> Self {
        Self::of(rustix::process::geteuid().is_root().then_some(ORDINARY_UID))
    }

    /// A world of an ordinary user who has [`SUBORDINATE_IDS`] to give to runs; needs root.
    #[must_use]
    pub fn with_subordinate_ids() -> Self {
        let mut world = Self::of(Some(ORDINARY_UID));
        world.subordinate_ids = Some(SUBORDINATE_IDS);
        world
    }

    /// Gives the user other subordinate ids: so many from the first on.
    pub fn set_subordinate_ids(&mut self, first: u32, count: u32) {
        self.subordinate_ids = Some((first, count));
    }

    fn of(uid: Option<u32>) -> Self {
        let directory = tempfile::Builder::new().prefix("handoff-").tempdir().expect("directory");
        let world = Self { directory, uid, subordinate_ids: None, variables: Vec::new() };
        // The binaries and the home must be reachable for a user that is not the tests' own.
        fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        for name in ["home", "bin", "tmp"] {
            fs::create_dir(world.path().join(name)).expect("directory");
        }
        for name in ["handoff", "handoffd"] {
            program::copy(&built().join(name), &world.bin().join(name));
        }
        world.give(&world.home());
        world.give(&world.path().join("tmp"));
        world
    }

    /// The directory in which everything is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Gives a daemon of this user's a credential; `variables` say which daemon.
    pub fn keep_credential(&self, name: &str, secret: &str, variables: &[(&str, &Path)]) {
        let mut add = Command::new("sh");
        add.args(["-c", r#"printf '%s\n' "$SECRET" | exec "$@""#, "sh"]);
        add.arg(self.bin().join("handoffd")).args(["credential", "add", name]);
        add.env_clear().env("SECRET", secret).env("PATH", "/usr/bin:/bin");
        add.envs(variables.iter().copied());
        drop(said(&mut add).ok());
    }

    /// The user's home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// Where the binaries are.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.path().join("bin")
    }

    /// The state directory of the local daemon.
    #[must_use]
    pub fn local_daemon(&self) -> PathBuf {
        self.home().join(".local/share/handoff/local")
    }

    /// Gives the local daemon settings, which it has once it is started.
    pub fn configure(&self, settings: &str) {
        let state = self.local_daemon();
        self.ok(&self.home(), "mkdir", ["-p".as_ref(), state.as_os_str()]);
        self.ok(&self.home(), "chmod", ["700".as_ref(), state.as_os_str()]);
        self.write(&state.join("handoffd.toml"), settings);
    }

    /// Makes a directory below the home, which belongs to the user.
    #[must_use]
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.home().join(name);
        self.ok(&self.home(), "mkdir", ["-p".as_ref(), path.as_os_str()]);
        path
    }

    /// Sets a variable for every later command.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.variables.push((name.into(), value.as_ref().to_owned()));
    }

    /// A command of this user in a directory.
    #[must_use]
    pub fn command(&self, directory: &Path, program: &str) -> Command {
        let mut command = match (self.uid, self.subordinate_ids) {
            (None, _) => Command::new(program),
            (Some(uid), Some(ids)) => subids::command(self.path(), uid, ids, program),
            (Some(uid), None) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}")).args([
                    "--clear-groups",
                    "--",
                    program,
                ]);
                command
            }
        };
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin().display());
        command
            .current_dir(directory)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home())
            .env("USER", "tester")
            .env("SHELL", "/bin/bash")
            .env("LANG", "C.UTF-8")
            .env("TZ", "Europe/Berlin")
            .env("TMPDIR", self.path().join("tmp"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Said {
        let mut command = self.command(directory, program);
        command.args(args);
        said(&mut command)
    }

    /// Runs a command that must succeed; returns its standard output.
    pub fn ok<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> String {
        self.run(directory, program, args).ok()
    }

    /// Runs `handoff`.
    pub fn handoff<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Said {
        self.run(directory, "handoff", args)
    }

    /// Hands a command off; returns the run's id.
    pub fn hand_off<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> String {
        let id = self.handoff(directory, args).ok().trim_end().to_owned();
        assert_eq!(id.len(), 10, "stdout is the run's id alone: {id:?}");
        id
    }

    /// Waits until a run has finished; returns the run object.
    pub fn finished(&self, directory: &Path, run: &str) -> Value {
        let watched = self.handoff(directory, ["watch", run]);
        let run = self.show(directory, run);
        assert_eq!(run["state"], "finished", "{run:#}\nafter {watched}");
        run
    }

    /// The run object.
    pub fn show(&self, directory: &Path, run: &str) -> Value {
        self.handoff(directory, ["show", run, "--json"]).json()
    }

    /// Runs git as this user, with a fixed identity and clock.
    pub fn git(&self, directory: &Path, args: &[&str]) -> String {
        let mut command = self.command(directory, "git");
        command
            .args(["-c", "user.name=Test Er", "-c", "user.email=test@example.com"])
            .args(["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"])
            // It has ended when it has ended.
            .args(["-c", "maintenance.auto=false", "-c", "gc.auto=0"])
            .args(args)
            .env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05+0100")
            .env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05+0100");
        said(&mut command).ok()
    }

    /// Writes a file that belongs to the user.
    pub fn write(&self, path: &Path, content: impl AsRef<[u8]>) {
        fs::write(path, content).expect("write");
        self.give(path);
    }

    /// Starts a command that goes on by itself.
    #[must_use]
    pub fn spawn<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Child {
        let mut command = self.command(directory, program);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("spawn")
    }

    /// Gives a path to the user of this world.
    pub fn give(&self, path: &Path) {
        if let Some(uid) = self.uid {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(rustix::fs::CWD, path, Some(uid), Some(gid), flags).expect("chown");
        }
    }

    /// The process id of the local daemon.
    #[must_use]
    pub fn local_daemon_pid(&self) -> Pid {
        let is_ours = |pid: &Pid| {
            let program = fs::read_link(format!("/proc/{pid}/exe"));
            program.is_ok_and(|program| program.starts_with(self.bin()))
        };
        let mut found = process::leading(&["serve".as_ref()]);
        found.find(is_ours).expect("a local daemon")
    }

    /// Kills the local daemon, and waits until it is gone.
    pub fn kill_daemon(&self) {
        process::kill(self.local_daemon_pid());
    }

    /// Gives a directory with everything in it to the user of this world.
    pub fn give_all(&self, directory: &Path) {
        if let Some(uid) = self.uid {
            let owner = format!("{uid}:{uid}");
            drop(said(Command::new("chown").args(["-R", &owner]).arg(directory)).ok());
        }
    }

    /// Stops a daemon of this world and everything that it runs.
    pub fn stop_daemon(&self, state: &Path) {
        if !state.join("admin.sock").exists() {
            return;
        }
        let mut command = self.command(&self.home(), "handoffd");
        command.arg("stop").env("HANDOFFD_STATE", state);
        drop(said(&mut command));
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.local_daemon().exists() {
            return;
        }
        let runs = self.handoff(&self.home(), ["ls", "--all", "--json"]);
        if let Ok(Value::Array(runs)) = serde_json::from_slice(&runs.stdout) {
            for run in runs.iter().filter(|run| run["state"] != "finished") {
                let id = run["id"].as_str().unwrap_or_default();
                drop(self.handoff(&self.home(), ["stop", id]));
                drop(self.handoff(&self.home(), ["watch", id]));
            }
        }
        self.stop_daemon(&self.local_daemon());
    }
}

impl Said {
    /// Expects success; returns standard output.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Expects this exit code and every one of these texts on standard error.
    pub fn fails(self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{self}");
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in {self}");
        }
    }

    /// Expects success and JSON.
    pub fn json(self) -> Value {
        assert_eq!(self.code, 0, "{self}");
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self}"))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout);
        write!(
            f,
            "`{}` exited with {}\n--- stdout\n{stdout}\n--- stderr\n{}",
            self.line, self.code, self.stderr
        )
    }
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| String::from_utf8_lossy(word.as_bytes()).into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    let output = command.output().unwrap_or_else(|error| panic!("cannot run `{line}`: {error}"));
    let signal = output.status.signal().map_or(-1, |signal| 128 + signal);
    Said {
        line,
        code: output.status.code().unwrap_or(signal),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The directory of the binaries, built from the sources as they are: a stale binary would make
/// every story a lie.
#[must_use]
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .args(["build", "--quiet", "--bins", "-p", "handoff-client", "-p", "handoff-daemon"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // Build scripts watch what cargo tells them of their package. What it told this test of its
        // own would count as a change, and build their crates anew, here and after the test.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_MANIFEST_", "CARGO_PKG_"]
                .iter()
                .any(|told| name.as_bytes().starts_with(told.as_bytes()))
            {
                build.env_remove(name);
            }
        }
        drop(said(&mut build).ok());
        let test = std::env::current_exe().expect("own path");
        test.ancestors().nth(2).expect("target directory").to_owned()
    })
}
