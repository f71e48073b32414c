//! The launcher itself: who asks, one line, and a process for it. Knows nothing of what that does.

use std::convert::Infallible;
use std::fs::{DirBuilder, Permissions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::sockopt::{socket_acceptconn, socket_peercred};
use thiserror::Error;

use super::launched::{LAUNCHED, LOCKS, Settings, refuse};
use super::request::{LINE_LEN_MAX, Request};
use super::state::State;
use super::{place, uids};

/// What those that are started get of the launcher's environment.
const ENVIRONMENT: [&str; 4] = ["PATH", "HANDOFF_BWRAP", "HANDOFFD_CONFIG", "HANDOFFD_STATE"];

/// How long the line may take, which is written at once.
const LINE_MAX: Duration = Duration::from_secs(2);

/// How many started processes may live: every uid for runs, and some that find none left.
const LIVE_MAX: usize = uids::COUNT as usize + 16;

/// There is no launcher.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// Somebody else than root started it.
    #[error("a launcher has to be root")]
    NotRoot,
    /// The settings are missing, wrong or not root's.
    #[error("{0}")]
    Settings(String),
    /// The place of the socket or of the state directory cannot be used.
    #[error("use {path}: {source}", path = path.display())]
    Place {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The socket on standard input is none.
    #[error("standard input is no listening socket")]
    NotActivated,
    /// Nobody can be let in any more.
    #[error("accept a connection: {0}")]
    Accept(io::Error),
}

/// A launcher that listens.
#[derive(Debug)]
pub struct Launcher {
    listener: UnixListener,
    socket: PathBuf,
    state: PathBuf,
    started: Vec<Child>,
}

impl Launcher {
    /// Listens at the place that the settings name.
    ///
    /// # Errors
    ///
    /// Fails if the caller is not root, or the settings or their places are not root's alone.
    pub fn bind() -> Result<Self, LaunchError> {
        let settings = ready()?;
        let socket = settings.socket;
        let failed = |source| LaunchError::Place { path: socket.clone(), source };
        let state = State::open(&settings.state)
            .map_err(|source| LaunchError::Place { path: settings.state.clone(), source })?;
        let listener = listen(&socket, state.user.gid).map_err(failed)?;
        Ok(Self { listener, socket, state: settings.state, started: Vec::new() })
    }

    /// Takes the listening socket that is on standard input.
    ///
    /// # Errors
    ///
    /// Fails as [`Launcher::bind`] does, or if there is no such socket.
    pub fn activated() -> Result<Self, LaunchError> {
        let Settings { socket, state, .. } = ready()?;
        let stdin = io::stdin();
        if !socket_acceptconn(stdin.as_fd()).is_ok_and(|listens| listens) {
            return Err(LaunchError::NotActivated);
        }
        let listener = stdin
            .as_fd()
            .try_clone_to_owned()
            .map_err(|source| LaunchError::Place { path: socket.clone(), source })?;
        Ok(Self { listener: listener.into(), socket, state, started: Vec::new() })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Takes requests, one after the other.
    ///
    /// # Errors
    ///
    /// Returns only when nobody can be let in any more.
    pub fn serve(mut self) -> Result<Infallible, LaunchError> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _unnamed)) => stream,
                Err(error) if is_theirs(&error) => continue,
                Err(error) => return Err(LaunchError::Accept(error)),
            };
            self.started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            if let Err(reason) = self.answer(&stream) {
                refuse(&stream, &reason);
            }
        }
    }

    fn answer(&mut self, stream: &UnixStream) -> Result<(), String> {
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let peer = socket_peercred(stream).map_err(|error| failed("see who asks")(error.into()))?;
        let state = State::open(&self.state).map_err(failed("open the state directory"))?;
        if peer.uid.as_raw() != state.user.uid {
            return Err(format!("uid {} is not the daemon's user", peer.uid.as_raw()));
        }
        let request = read(stream)?;
        if self.started.len() >= LIVE_MAX {
            return Err("too many supervisors are alive".into());
        }
        let stream = stream.as_fd().try_clone_to_owned().map_err(failed("hold the connection"))?;
        self.started.push(start(&request, stream).map_err(failed("start a process"))?);
        Ok(())
    }
}

/// The settings, for who may use them, with a directory for locks.
fn ready() -> Result<Settings, LaunchError> {
    if !rustix::process::geteuid().is_root() {
        return Err(LaunchError::NotRoot);
    }
    let settings = Settings::read().map_err(LaunchError::Settings)?;
    let locks = settings.socket.with_file_name(LOCKS);
    make_locks(&locks).map_err(|source| LaunchError::Place { path: locks, source })?;
    Ok(settings)
}

/// Makes the directory of locks, and the one around it, which the socket is in.
fn make_locks(locks: &Path) -> io::Result<()> {
    if let Some(around) = locks.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(around)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(locks)?;
    place::check_all(locks)
}

fn listen(socket: &Path, gid: u32) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(socket)?;
    // Who may connect; who may ask is looked at for each connection.
    chown(socket, None, Some(gid))?;
    std::fs::set_permissions(socket, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Whether an error is about one connection only.
fn is_theirs(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
}

/// Reads the request, which comes in one piece or not at all.
fn read(mut stream: &UnixStream) -> Result<Request, String> {
    let mut bytes = [0; LINE_LEN_MAX];
    let read = stream
        .set_read_timeout(Some(LINE_MAX))
        .and_then(|()| stream.set_write_timeout(Some(LINE_MAX)))
        .and_then(|()| stream.read(&mut bytes))
        .map_err(|error| format!("read the request: {error}"))?;
    let line = bytes[..read].strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
    line.ok_or("the request is no line")?.parse().map_err(|error| format!("{error}"))
}

/// Starts a process whose standard output is the one who asks.
fn start(request: &Request, stream: OwnedFd) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("handoffd").arg(LAUNCHED).arg(request.to_string()).current_dir("/").env_clear();
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::null()).stdout(stream);
    command.spawn()
}
