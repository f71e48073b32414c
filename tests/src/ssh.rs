//! A machine that is reached over ssh: a real OpenSSH server on loopback with its own keys and
//! settings, and a client configuration that leads to it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    program,
    world::{World, built, said},
};

/// A running ssh server with `handoffd`; both end with this value.
#[derive(Debug)]
pub struct Host {
    directory: TempDir,
    server: Child,
}

/// Whether the host has `handoffd` on its PATH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It has.
    Yes,
    /// It has not.
    No,
}

impl Host {
    /// Starts a server of the user who runs the tests.
    #[must_use]
    pub fn start(installed: Installed) -> Self {
        let directory = tempfile::Builder::new().prefix("sshd-").tempdir().expect("directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["host", "key", "other"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(name));
            drop(said(&mut keygen).ok());
        }
        fs::copy(path("key.pub"), path("authorized")).expect("copy");
        fs::create_dir(path("bin")).expect("directory");
        if installed == Installed::Yes {
            program::copy(&built().join("handoffd"), &path("bin/handoffd"));
        }
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").expect("the server's own empty directory");
        }
        let port = free_port();
        let top = directory.path().display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {top}/host\nPidFile none\n\
             AuthorizedKeysFile {top}/authorized\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv PATH={top}/bin:/usr/bin:/bin HANDOFFD_STATE={top}/state\n"
        );
        fs::write(path("sshd_config"), config).expect("write");
        let server = serve(&path("sshd_config"));
        let user = said(Command::new("id").arg("-un")).ok();
        let known = fs::read_to_string(path("host.pub")).expect("read");
        fs::write(path("known"), format!("[127.0.0.1]:{port} {known}")).expect("write");
        fs::write(path("unknown"), "").expect("write");
        let host = |name: &str, key: &str, known: &str| {
            format!(
                "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {}\n  \
                 IdentityFile {top}/{key}\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
                 UserKnownHostsFile {top}/{known}\n  GlobalKnownHostsFile /dev/null\n  \
                 StrictHostKeyChecking yes\n",
                user.trim()
            )
        };
        let hosts = [
            host("box", "key", "known"),
            host("denied", "other", "known"),
            host("unknown", "key", "unknown"),
            format!("Host closed\n  HostName 127.0.0.1\n  Port {}\n", free_port()),
        ];
        fs::write(path("ssh_config"), hosts.concat()).expect("write");
        Self { directory, server }
    }

    /// The ssh program with options that lead to this host, for `HANDOFF_SSH`.
    #[must_use]
    pub fn ssh(&self) -> String {
        format!("ssh -F {}", self.directory.path().join("ssh_config").display())
    }

    /// The same, except that its first connection breaks after so many bytes have been sent.
    #[must_use]
    pub fn ssh_that_breaks_once_after(&self, bytes: u64) -> String {
        let top = self.directory.path().display();
        let script = format!(
            "#!/bin/sh\nif mkdir {top}/broken 2>/dev/null\n\
             then dd bs=65536 count={bytes} iflag=count_bytes status=none | {ssh} \"$@\"\nelse exec {ssh} \"$@\"\nfi\n",
            ssh = self.ssh()
        );
        let path = self.directory.path().join("breaking-ssh");
        program::write(&path, &script);
        path.display().to_string()
    }

    /// The state directory of the daemon there.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Stops the daemon there.
    pub fn stop_daemon(&self, world: &World) {
        world.stop_daemon(&self.state());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A test that failed may have left the daemon running.
        if self.state().join("admin.sock").exists() {
            let mut stop = Command::new(built().join("handoffd"));
            drop(said(stop.arg("stop").env("HANDOFFD_STATE", self.state())));
        }
        self.server.kill().expect("kill");
        self.server.wait().expect("wait");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    listener.local_addr().expect("address").port()
}

/// Starts the server and waits until it says that it listens.
fn serve(config: &std::path::Path) -> Child {
    let mut server = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sshd");
    let mut lines = BufReader::new(server.stderr.take().expect("stderr")).lines();
    let mut seen = String::new();
    loop {
        let line = lines.next().unwrap_or_else(|| panic!("sshd ended: {seen}")).expect("text");
        if line.starts_with("Server listening on") {
            break;
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    // Nobody reads its log any more, and it must not die of that.
    std::thread::spawn(move || lines.for_each(drop));
    server
}
