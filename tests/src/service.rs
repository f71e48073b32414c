//! A daemon as it is installed: `handoffd launch` as root, and, where it is wanted, `handoffd serve`
//! as a user of its own. Needs root.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::fd::OwnedFd,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    fs::{Gid, Uid},
    process::{Pid, Signal, kill_process},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use tempfile::TempDir;

use crate::{
    program,
    world::{Said, built, said},
};

/// The user that the daemon has for itself.
pub const DAEMON: u32 = 54_321;

/// Its group, which is another number as on any real machine.
pub const DAEMON_GROUP: u32 = 54_322;

/// The uids that a launcher gives to runs.
pub const RUNS: std::ops::Range<u32> = 0x7800_0000..0x7800_0000 + 512;

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A launcher with an empty state directory.
#[derive(Debug)]
pub struct Service {
    directory: TempDir,
    launcher: Child,
}

/// A daemon that uses it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Service {
    /// Starts a launcher with these settings; `[listen]` and `launcher` are taken.
    #[must_use]
    pub fn start(config: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "a launcher needs root");
        let directory = tempfile::Builder::new().prefix("handoff-service-").tempdir();
        let directory = directory.expect("directory");
        let path = |name: &str| directory.path().join(name);
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
        };
        mode(directory.path(), 0o755);
        fs::create_dir(path("state")).expect("directory");
        mode(&path("state"), 0o700);
        chown(path("state"), Some(DAEMON), Some(DAEMON_GROUP)).expect("chown");
        let socket = path("run/launcher.sock");
        let config = format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n[isolation]\nlauncher = {socket:?}\n{config}"
        );
        fs::write(path("handoffd.toml"), config).expect("write");
        // Where it is built may be closed to the daemon's user.
        program::copy(&built().join("handoffd"), &path("handoffd"));
        let launcher = launch(directory.path());
        Self { directory, launcher }
    }

    /// A path of the service.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Says something to the launcher as this user and returns the answer.
    #[must_use]
    pub fn ask(&self, uid: u32, request: &[u8]) -> String {
        as_user(uid, || exchange(&self.path("run/launcher.sock"), request)).expect("ask")
    }

    /// Ends the launcher; what it started goes on.
    pub fn stop_launcher(&mut self) {
        self.launcher.kill().expect("kill");
        self.launcher.wait().expect("wait");
    }

    /// Starts a launcher again.
    pub fn restart_launcher(&mut self) {
        self.launcher = launch(self.directory.path());
    }

    /// Starts a launcher again as systemd does, with a listening socket on standard input.
    pub fn activate_launcher(&mut self) {
        let socket = self.path("run/launcher.sock");
        fs::remove_file(&socket).expect("remove");
        let listener = UnixListener::bind(&socket).expect("bind");
        chown(&socket, None, Some(DAEMON_GROUP)).expect("chown");
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).expect("mode");
        let mut command = Command::new(self.path("handoffd"));
        environment(&mut command, self.directory.path());
        command.args(["launch", "--activated"]).stdin(OwnedFd::from(listener));
        self.launcher = command.spawn().expect("spawn");
    }

    /// Starts a daemon as its own user.
    #[must_use]
    pub fn serve(&self) -> Daemon {
        let mut child = self
            .command(&["serve"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        let address = said_after(&mut child, "listening on ");
        Daemon { child, address }
    }

    /// Runs a `handoffd` subcommand as the daemon's user.
    pub fn admin(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={DAEMON}"))
            .arg(format!("--regid={DAEMON_GROUP}"))
            .args(["--clear-groups", "--"])
            .arg(self.path("handoffd"))
            .args(args);
        environment(&mut command, self.directory.path());
        command
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have been ended before.
        drop(self.launcher.kill());
        drop(self.launcher.wait());
    }
}

impl Daemon {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).expect("kill");
        }
        self.child.wait().expect("wait");
    }
}

/// Does something in a thread that is this user.
///
/// # Panics
///
/// Panics if the thread cannot become the user.
pub fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    let become_user = || {
        let gid = if uid == DAEMON { DAEMON_GROUP } else { uid };
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    };
    let run = || {
        become_user().expect("become the user");
        act()
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("thread"))
}

/// Writes to a socket and reads to the end.
///
/// # Errors
///
/// Fails if nobody can be connected to.
pub fn exchange(socket: &Path, said: &[u8]) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    // An answer that does not come is none.
    stream.set_read_timeout(Some(PATIENCE))?;
    // Who is refused unheard finds the connection closed.
    drop(stream.write_all(said));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn environment(command: &mut Command, directory: &Path) {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HANDOFFD_STATE", directory.join("state"))
        .env("HANDOFFD_CONFIG", directory.join("handoffd.toml"))
        .current_dir("/")
        .stdin(Stdio::null());
}

/// The capabilities that the launcher's unit leaves it, as setpriv names them.
fn capabilities() -> String {
    let unit =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../daemon/service/systemd/handoffd-launcher.service");
    let unit = fs::read_to_string(unit).expect("the launcher's unit");
    let lines = unit.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let kept = lines.flat_map(str::split_whitespace).map(|name| {
        let name = name.strip_prefix("CAP_").expect("a capability");
        format!(",+{}", name.to_lowercase())
    });
    format!("-all{}", kept.collect::<String>())
}

/// Starts a launcher with no more rights than it has as a unit.
fn launch(directory: &Path) -> Child {
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={}", capabilities())).arg("--");
    command.arg(directory.join("handoffd"));
    environment(&mut command, directory);
    let mut child = command.arg("launch").stderr(Stdio::piped()).spawn().expect("spawn");
    drop(said_after(&mut child, "launching on "));
    child
}

/// Waits until a program says this on standard error; returns the rest of that line.
fn said_after(child: &mut Child, text: &str) -> String {
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let mut seen = String::new();
    let rest = loop {
        let line = lines.next().unwrap_or_else(|| panic!("it ended: {seen}")).expect("text");
        if let Some((_, rest)) = line.split_once(text) {
            break rest.trim().to_owned();
        }
        seen.push_str(&line);
        seen.push('\n');
    };
    // Nobody reads its log any more, and it must not die of that.
    std::thread::spawn(move || lines.for_each(drop));
    rest
}
