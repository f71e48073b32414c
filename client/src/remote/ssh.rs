//! A daemon that is reached through the user's own ssh: no open port, no keys of ours in between.
//!
//! `ssh HOST handoffd connect` joins our bytes to the daemon there; TLS with both certificates goes
//! on inside, so that whoever shares the account there is still somebody else. The user's ssh
//! settings count: names, keys, jump hosts. HANDOFF_SSH names another program with its options, as
//! in `HANDOFF_SSH="ssh -F /path/config"`.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::dial::DialError;

/// What such an address begins with.
pub const SCHEME: &str = "ssh://";

/// Names the program and its options, separated by spaces.
const PROGRAM_VARIABLE: &str = "HANDOFF_SSH";

/// ssh's own exit code for its own failures; everything else is the other machine's command's.
const SSH_FAILED: i32 = 255;

/// A shell's exit code for a command that it does not find.
const NOT_FOUND: i32 = 127;

/// How long a connection may take where a human may have to type a passphrase, and where none is.
const WITH_HUMAN: Duration = Duration::from_secs(120);
const ALONE: Duration = Duration::from_secs(30);

/// How long ssh may take to say why it ended.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// How much of that is kept, in bytes.
const WORDS_BYTES_MAX: usize = 4096;

/// The longest name of a user of a daemon.
const USER_MAX: usize = 32;

/// A machine that ssh leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// Why ssh does not lead to a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshFailure {
    /// There is no such program here.
    NoProgram,
    /// The host cannot be reached now.
    Unreachable,
    /// The host is not known, or does not let us in.
    Refused,
    /// The host has no `handoffd` where ssh looks for it.
    NoDaemon,
    /// `handoffd` says why.
    Daemon,
}

impl SshFailure {
    /// What to do next.
    #[must_use]
    pub fn hint(self) -> String {
        match self {
            Self::NoProgram => "install OpenSSH's client, or set HANDOFF_SSH to another program",
            Self::Unreachable => "check that `ssh HOST` works; then try again",
            Self::Refused => {
                "check that `ssh HOST` works without asking anything (keys, agent, known hosts)"
            }
            Self::NoDaemon => {
                "install handoffd there, in a directory that is on PATH for commands over ssh, such as /usr/local/bin"
            }
            Self::Daemon => "log in there; `handoffd doctor` tells what is wrong",
        }
        .to_owned()
    }
}

impl Destination {
    /// Parses `ssh://[USER@]HOST[:PORT]`; none for anything else. Nothing in it can be mistaken for
    /// an option or for more than a host.
    #[must_use]
    pub fn parse(address: &str) -> Option<Self> {
        let rest = address.strip_prefix(SCHEME)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port > 0));
        let host_fits = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        let user_fits = |c: char| c.is_ascii_alphanumeric() || ".-_+".contains(c);
        let valid = |text: &str, fits: &dyn Fn(char) -> bool| {
            !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
        };
        let good = valid(host, &host_fits)
            && user.is_none_or(|user| valid(user, &user_fits))
            && !matches!(port, Some(None));
        good.then(|| Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port: port.flatten(),
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// What a daemon may call this user.
#[must_use]
pub fn daemon_user(name: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let name = name.to_ascii_lowercase();
    let name: String = name.chars().map(|c| if fits(c) { c } else { '-' }).take(USER_MAX).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if name.is_empty() { "user".to_owned() } else { name.to_owned() }
}

/// How long a connection may take.
pub(super) fn dial_timeout() -> Duration {
    if io::stdin().is_terminal() { WITH_HUMAN } else { ALONE }
}

/// Has the daemon there invite a user; starts it if need be.
///
/// # Errors
///
/// Where ssh does not lead there or nobody invites.
pub async fn invite(destination: &Destination, user: &str) -> Result<String, DialError> {
    let mut command = command(destination, &["handoffd", "connect", "--invite", user]);
    let output = command.stdin(Stdio::null()).output();
    let output = match timeout(dial_timeout(), output).await {
        Ok(output) => output.map_err(|error| no_program(destination, &error))?,
        Err(_) => {
            let message = "it did not answer in time".to_owned();
            return Err(failed(destination, SshFailure::Unreachable, message));
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(explained(destination, output.status.code(), &output.stderr))
}

/// Connects to the daemon there: its bytes, and who says why if they end early.
pub(super) async fn connect(destination: &Destination) -> Result<(Tunnel, Ssh), DialError> {
    let mut child = command(destination, &["handoffd", "connect"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| no_program(destination, &error))?;
    let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(input), Some(output), Some(errors)) = streams else {
        let message = "it has no standard input, output or error".to_owned();
        return Err(failed(destination, SshFailure::NoProgram, message));
    };
    let child = Arc::new(Mutex::new(Some(child)));
    // Ends with ssh. Read all the time: a talkative one would stop where nobody listens.
    let words = TaskTracker::new().spawn(last_words(errors));
    let ssh = Ssh { destination: destination.clone(), child: Arc::clone(&child), words };
    Ok((Tunnel { input, output, _child: child }, ssh))
}

fn command(destination: &Destination, words: &[&str]) -> Command {
    let chosen = std::env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| OsString::from("ssh"));
    let chosen = chosen.to_string_lossy().into_owned();
    let mut parts = chosen.split_whitespace();
    let mut command = Command::new(parts.next().unwrap_or("ssh"));
    command.args(parts).arg("-T");
    if !io::stdin().is_terminal() {
        // Nobody could answer; and where nobody types, Ctrl-C is not meant for ssh. From a terminal it
        // has to stay in the foreground, where it may ask.
        command.args(["-o", "BatchMode=yes"]).process_group(0);
    }
    if let Some(user) = &destination.user {
        command.args(["-l", user]);
    }
    if let Some(port) = destination.port {
        command.args(["-p", &port.to_string()]);
    }
    command
        .args(["--", &destination.host])
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// ssh at work, for its last words.
#[derive(Debug)]
pub(super) struct Ssh {
    destination: Destination,
    child: Arc<Mutex<Option<Child>>>,
    words: JoinHandle<Vec<u8>>,
}

impl Ssh {
    /// Why ssh ended; none if it did not.
    pub(super) async fn failure(self) -> Option<DialError> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let end = async {
            let status = child.wait().await.ok()?;
            // What cannot be read of it is only missing from the message.
            let words = self.words.await.unwrap_or_default();
            Some(explained(&self.destination, status.code(), &words))
        };
        timeout(LAST_WORDS_MAX, end).await.ok().flatten()
    }
}

/// What was written last before the end.
async fn last_words(mut errors: ChildStderr) -> Vec<u8> {
    let (mut words, mut buffer) = (Vec::new(), vec![0; WORDS_BYTES_MAX]);
    while let Ok(1..) = errors.read(&mut buffer).await.inspect(|count| {
        words.extend_from_slice(&buffer[..*count]);
        let surplus = words.len().saturating_sub(WORDS_BYTES_MAX);
        words.drain(..surplus);
    }) {}
    words
}

/// The bytes of an ssh that ends with this.
#[derive(Debug)]
pub(super) struct Tunnel {
    input: ChildStdin,
    output: ChildStdout,
    _child: Arc<Mutex<Option<Child>>>,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}

fn no_program(destination: &Destination, error: &io::Error) -> DialError {
    failed(destination, SshFailure::NoProgram, format!("cannot run ssh: {error}"))
}

/// What an exit code and standard error mean.
fn explained(destination: &Destination, code: Option<i32>, stderr: &[u8]) -> DialError {
    /// What OpenSSH says where trying again would change nothing.
    const FINAL: [&str; 4] = [
        "Permission denied",
        "Host key verification failed",
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "Too many authentication failures",
    ];
    let said = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let kind = match code {
        Some(SSH_FAILED) if FINAL.iter().any(|text| said.contains(text)) => SshFailure::Refused,
        Some(SSH_FAILED) | None => SshFailure::Unreachable,
        Some(NOT_FOUND) => SshFailure::NoDaemon,
        Some(_) => SshFailure::Daemon,
    };
    let message = match (lines.is_empty(), code) {
        (false, _) => handoff_proto::path::escaped(lines.join("; ").as_bytes()),
        (true, Some(code)) => format!("ssh ended with exit code {code}"),
        (true, None) => "ssh was killed".to_owned(),
    };
    failed(destination, kind, message)
}

fn failed(destination: &Destination, kind: SshFailure, message: String) -> DialError {
    DialError::Ssh { address: destination.to_string(), kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_host_and_nothing_else() {
        for good in ["ssh://box", "ssh://ada@box.example.com:2222", "ssh://[fe80::1%eth0]:22"] {
            assert_eq!(Destination::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(Destination::parse("ssh://box/").unwrap().to_string(), "ssh://box");
        for bad in [
            "box",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-l@box",
            "ssh://a b",
            "ssh://box/path",
            "ssh://box:0",
            "ssh://box:x",
            "ssh://@box",
            "ssh://a;b@box",
            "ssh://box:22:22",
            "ssh://$(x)",
        ] {
            assert_eq!(Destination::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_user_fits_the_daemon() {
        for (name, user) in [
            ("ada", "ada"),
            ("Ada Lovelace", "ada-lovelace"),
            ("_x", "x"),
            ("", "user"),
            ("é", "user"),
        ] {
            assert_eq!(daemon_user(name), user);
        }
        assert_eq!(daemon_user(&"x".repeat(99)).len(), 32);
    }

    #[test]
    fn what_ssh_says_decides_what_to_do() {
        let destination = Destination::parse("ssh://box").unwrap();
        let kind = |code, said: &str| match explained(&destination, code, said.as_bytes()) {
            DialError::Ssh { kind, .. } => kind,
            other => panic!("{other:?}"),
        };
        for (code, said, expected) in [
            (255, "ssh: connect to host box port 22: Connection refused", SshFailure::Unreachable),
            (255, "ada@box: Permission denied (publickey).", SshFailure::Refused),
            (255, "Host key verification failed.", SshFailure::Refused),
            // So it is while the laptop has no network.
            (
                255,
                "ssh: Could not resolve hostname box: Name or service not known",
                SshFailure::Unreachable,
            ),
            (127, "bash: line 1: handoffd: command not found", SshFailure::NoDaemon),
            (1, "handoffd: cannot start a daemon", SshFailure::Daemon),
        ] {
            assert_eq!(kind(Some(code), said), expected, "{said}");
        }
        assert_eq!(kind(None, ""), SshFailure::Unreachable);
    }
}
