//! `handoffd connect`: joins standard input and output to the daemon of this user, for clients that
//! come over ssh. Starts the daemon where none runs.
//!
//! Only passes bytes: TLS is between the client and the daemon, so that a user of this machine gets
//! no further by it than over the network.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write},
    net::{Shutdown, TcpStream},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use clap::Args;
use handoff_proto::{
    problem::{Code, Problem},
    wire::{InviteReply, InviteRequest},
};
use rustix::fs::{FlockOperation, flock};

use super::{admin, output, settings};

/// How long an invitation is valid that is used at once, in seconds.
const INVITATION_SECONDS: u64 = 600;

/// Bytes on their way in one piece: what a pipe holds.
const BUFFER_BYTES: usize = 64 << 10;

/// How much of the log an error shows, in bytes.
const LOG_SHOWN: u64 = 2048;

/// Pass standard input and output to the daemon, which is started if none runs
///
/// For `handoff remote add NAME ssh://HOST`, which runs this over ssh.
#[derive(Debug, Args)]
pub(super) struct Connect {
    /// Print an invitation for USER instead
    #[arg(long, value_name = "USER")]
    invite: Option<String>,
}

impl Connect {
    pub(super) fn run(self) -> Result<(), Problem> {
        let (_, state) = settings::read(None)?;
        let address = ensure_running(&state)?;
        match self.invite {
            Some(user) => {
                let request = InviteRequest { user, valid_seconds: INVITATION_SECONDS };
                let InviteReply { invitation } =
                    admin::ask(async |mut daemon| daemon.invite(request).await)?;
                output::line(&invitation)
            }
            None => join(&address).map_err(|error| {
                Problem::new(Code::Unreachable, format!("cannot pass bytes to {address}: {error}"))
            }),
        }
    }
}

/// Where the daemon of this state directory listens; starts one of this user alone where none runs.
fn ensure_running(state: &Path) -> Result<String, Problem> {
    let failed = |error: io::Error| {
        Problem::new(Code::Failed, format!("cannot start a daemon in {}: {error}", state.display()))
    };
    if let Some(address) = running(state) {
        return Ok(address);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(failed)?;
    // Several clients at once start one daemon: the others wait until it is there.
    let lock = private(&state.join("connect.lock")).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|errno| failed(errno.into()))?;
    match running(state) {
        Some(address) => Ok(address),
        None => start(state),
    }
}

/// Where the daemon listens, if one does.
fn running(state: &Path) -> Option<String> {
    let address = std::fs::read_to_string(state.join("address")).ok()?;
    let address = address.trim();
    // Whoever left the address behind may be dead.
    TcpStream::connect(address).ok().map(|_| address.to_owned())
}

fn start(state: &Path) -> Result<String, Problem> {
    let path = state.join("handoffd.log");
    let failed =
        |error: io::Error| Problem::new(Code::Failed, format!("cannot start a daemon: {error}"));
    let log = private(&path).map_err(failed)?;
    let before = log.metadata().map_err(failed)?.len();
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["serve", "--local", "--detached"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(said) = child.stdout.take() {
        BufReader::new(said).read_line(&mut line).map_err(failed)?;
    }
    match line.trim() {
        "" => {
            let said = tail(&path, before).unwrap_or_default();
            let message = format!("daemon ended before it was ready: {}", said.trim());
            Err(Problem::new(Code::Failed, message)
                .with_hint("`handoffd serve` shows what is wrong, `handoffd doctor` checks it"))
        }
        address => Ok(address.to_owned()),
    }
}

fn private(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The end of what a daemon that did not get ready logged.
fn tail(log: &Path, before: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(before.max(length.saturating_sub(LOG_SHOWN))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Passes bytes both ways until either side ends.
fn join(address: &str) -> io::Result<()> {
    let daemon = TcpStream::connect(address)?;
    daemon.set_nodelay(true)?;
    // Plain files: the standard library's own streams hold bytes back until a line ends.
    let mut input = File::from(rustix::io::dup(rustix::stdio::stdin())?);
    let mut to_client = File::from(rustix::io::dup(rustix::stdio::stdout())?);
    let (mut to_daemon, mut from_daemon) = (daemon.try_clone()?, daemon);
    // Ends with the process: nobody can be told that the client's last bytes got lost, but TLS.
    thread::spawn(move || {
        drop(pass(&mut input, &mut to_daemon));
        drop(to_daemon.shutdown(Shutdown::Write));
    });
    pass(&mut from_daemon, &mut to_client)
}

/// Copies until the end. By hand: the standard library would move bytes between socket and pipe
/// inside the kernel (splice), which does not wake an ssh server that polls the pipe.
fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
