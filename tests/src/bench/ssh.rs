//! The rivals: rsync and git over a private OpenSSH server, with keys, port and settings of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Bench, ends::Ends, measure, process};

/// A running server; ends with this value.
#[derive(Debug)]
pub(super) struct Ssh {
    directory: TempDir,
    server: Child,
    address: SocketAddr,
    near: Vec<String>,
}

impl Ssh {
    pub(super) fn start(bench: &Bench, ends: &Ends) -> Result<Self> {
        let directory = bench.scratch("ssh-")?;
        let path = directory.path();
        for name in ["host", "user"] {
            let mut keygen = process::command("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path.join(name));
            process::ok(&mut keygen)?;
        }
        fs::copy(path.join("user.pub"), path.join("authorized")).context("copy the key")?;
        // Where sshd separates its privileges; the system's own unit makes it otherwise.
        fs::create_dir_all("/run/sshd").context("create /run/sshd")?;
        let address = free_address(ends)?;
        let shown = path.display();
        let config = format!(
            "ListenAddress {address}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
             PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n",
        );
        fs::write(path.join("config"), config).context("write sshd's settings")?;
        let mut sshd = process::prefixed(&ends.far, "setpriv");
        sshd.args(["--pdeathsig", "TERM", "/usr/sbin/sshd", "-D", "-e", "-f"]);
        sshd.arg(path.join("config")).stderr(Stdio::piped());
        let mut server = sshd.spawn().context("start sshd")?;
        let mut lines = BufReader::new(server.stderr.take().context("stderr")?).lines();
        let mut seen = String::new();
        loop {
            let Some(line) = lines.next() else { bail!("sshd ended: {seen}") };
            let line = line?;
            if line.contains("Server listening on") {
                break;
            }
            seen.push_str(&line);
        }
        // Nobody reads its log any more, and it must not die of that.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { directory, server, address, near: ends.near.clone() })
    }

    /// The ssh command for programs that want one.
    fn shell(&self) -> String {
        let key = self.directory.path().join("user");
        format!(
            "ssh -F none -i {} -p {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o LogLevel=ERROR",
            key.display(),
            self.address.port(),
        )
    }

    /// Seconds of `rsync` with these flags, from a directory into another one on the far end, until
    /// it is on disk there.
    pub(super) fn rsync(&self, flags: &str, from: &Path, to: &Path) -> Result<f64> {
        let mut rsync = process::prefixed(&self.near, "rsync");
        rsync.args([flags, "-e", &self.shell()]).arg(format!("{}/", from.display()));
        rsync.arg(format!("root@{}:{}/", self.address.ip(), to.display()));
        let seconds = measure::seconds(&mut rsync)? + on_disk(to)?;
        measure::say(format_args!("   rsync: {seconds:.3} s"));
        Ok(seconds)
    }

    /// Seconds of a push to a bare repository on the far end, until it is on disk there.
    pub(super) fn push(&self, from: &Path, what: &str, to: &Path) -> Result<f64> {
        let mut push = self.git(from);
        push.args(["push", "-q", "--force", &self.url(to), what]);
        Ok(measure::seconds(&mut push)? + on_disk(to)?)
    }

    /// git that reaches the far end.
    pub(super) fn git(&self, directory: &Path) -> Command {
        let mut git = process::git(directory);
        git.env("GIT_SSH_COMMAND", self.shell());
        git
    }

    /// A repository on the far end.
    pub(super) fn url(&self, path: &Path) -> String {
        format!("ssh://root@{}{}", self.address, path.display())
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        // It may have ended already.
        kill_process(Pid::from_child(&self.server), Signal::TERM).ok();
        drop(self.server.wait());
    }
}

fn on_disk(directory: &Path) -> Result<f64> {
    measure::seconds(process::command("sync").arg("-f").arg(directory))
}

/// A port that was free a moment ago. In a namespace of our own nobody else takes any.
fn free_address(ends: &Ends) -> Result<SocketAddr> {
    if !ends.far.is_empty() {
        return Ok(SocketAddr::new(ends.address, 2222));
    }
    let listener = TcpListener::bind((ends.address, 0)).context("find a free port")?;
    Ok(listener.local_addr()?)
}
