//! A daemon on "another machine": its own state, a free loopback port, started by `handoffd serve`.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use handoff_proto::invitation::Invitation;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::world::{Said, built, said};

/// A running daemon; ends with this value.
#[derive(Debug)]
pub struct Remote {
    directory: TempDir,
    child: Child,
    address: String,
    mounted: bool,
}

impl Remote {
    /// Starts a daemon with default settings on a free port.
    #[must_use]
    pub fn start() -> Self {
        Self::with_config("")
    }

    /// The same with more settings; `[listen]` is taken.
    #[must_use]
    pub fn with_config(config: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("handoffd-").tempdir().expect("directory");
        Self::in_directory(directory, config)
    }

    /// A daemon with these settings whose state is on a disk of this size; needs root to mount one.
    #[must_use]
    pub fn on_small_disk(bytes: u64, config: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("handoffd-").tempdir().expect("directory");
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path());
        drop(said(&mut mount).ok());
        let mut remote = Self::in_directory(directory, config);
        remote.mounted = true;
        remote
    }

    fn in_directory(directory: TempDir, config: &str) -> Self {
        let config = format!("[listen]\naddress = \"127.0.0.1:0\"\n{config}");
        std::fs::write(directory.path().join("handoffd.toml"), config).expect("write");
        let (child, address) = serve(directory.path());
        Self { directory, child, address, mounted: false }
    }

    /// The daemon's state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes an invitation.
    #[must_use]
    pub fn invite(&self, user: &str, more: &[&str]) -> String {
        let args: Vec<&str> = ["invite", user].iter().chain(more).copied().collect();
        self.admin(&args).ok().trim().to_owned()
    }

    /// One daemon's secret with the address and CA of another one.
    #[must_use]
    pub fn foreign(invitation: &str, other: &Self) -> String {
        let secret = Invitation::decode(invitation).expect("invitation").secret;
        let foreign = Invitation::decode(&other.invite("x", &[])).expect("invitation");
        Invitation { secret, ..foreign }.encode().expect("invitation")
    }

    /// An invitation whose time is over.
    #[must_use]
    pub fn expired(invitation: &str) -> String {
        let invitation = Invitation::decode(invitation).expect("invitation");
        Invitation { expires_unix_seconds: 1, ..invitation }.encode().expect("invitation")
    }

    /// Runs a `handoffd` subcommand against this daemon.
    pub fn admin(&self, args: &[&str]) -> Said {
        said(daemon(self.directory.path()).args(args))
    }

    /// How many runs this daemon has ever made.
    #[must_use]
    pub fn runs(&self) -> usize {
        std::fs::read_dir(self.state().join("runs")).map_or(0, Iterator::count)
    }

    /// The directory that its disk is mounted on, if it has one of its own.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops the daemon; its port is free then.
    pub fn stop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let pid = Pid::from_child(&self.child);
            kill_process(pid, Signal::TERM).expect("kill");
        }
        self.child.wait().expect("wait");
    }

    /// Kills the daemon as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts the daemon again, on a port of its own choice.
    pub fn restart(&mut self) {
        (self.child, self.address) = serve(self.directory.path());
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop();
        if self.mounted {
            drop(said(Command::new("umount").arg("--lazy").arg(self.directory.path())));
        }
    }
}

fn daemon(directory: &Path) -> Command {
    let mut command = Command::new(built().join("handoffd"));
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", directory)
        .env("HANDOFFD_STATE", directory.join("state"))
        .env("HANDOFFD_CONFIG", directory.join("handoffd.toml"))
        .stdin(Stdio::null());
    command
}

/// Starts the daemon and waits until it says where it listens.
fn serve(directory: &Path) -> (Child, String) {
    let mut child = daemon(directory).arg("serve").stderr(Stdio::piped()).spawn().expect("spawn");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let mut seen = String::new();
    let address = loop {
        let line = lines.next().unwrap_or_else(|| panic!("daemon ended: {seen}")).expect("text");
        if let Some((_, address)) = line.split_once("listening on ") {
            break address.trim().to_owned();
        }
        seen.push_str(&line);
        seen.push('\n');
    };
    // Nobody reads its log any more, and it must not die of that.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address)
}
