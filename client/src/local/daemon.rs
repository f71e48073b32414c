//! Starts `handoffd` so that it outlives us, and waits until it listens.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::detached;
use crate::file_watch::FileWatch;
use crate::settings::write_private;

/// The daemon's program.
const PROGRAM: &str = "handoffd";

/// How long a daemon may take until it listens; it may have runs to recover first.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What the daemon prints on standard error when it listens.
const READY: &str = "listening on ";

/// How soon it is noticed that a starting daemon ended without a word.
const ENDED_WITHIN: Duration = Duration::from_secs(1);

/// How many lines of the log an error shows.
const LINES_SHOWN: usize = 10;

/// Settings of a new own daemon: reachable from this machine only, on whichever port is free.
const CONFIG: &str = "\
# Settings of the daemon that `handoff` starts on this machine by itself.
[listen]
address = \"127.0.0.1:0\"
";

/// The own daemon, running or not.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    state: PathBuf,
}

/// The own daemon cannot be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not installed.
    #[error("{PROGRAM} is neither next to {beside} nor on PATH")]
    Missing {
        /// Where our own program is.
        beside: PathBuf,
    },
    /// A file of its cannot be written.
    #[error("cannot prepare {path}")]
    Prepare {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended instead of listening.
    #[error("{PROGRAM} ended before it was ready; the end of {log} says:\n{tail}")]
    Ended {
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// It did not listen in time.
    #[error("{PROGRAM} did not get ready within {} s; the end of {log} says:\n{tail}", START_TIMEOUT.as_secs())]
    TimedOut {
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// We were interrupted while it started.
    #[error("interrupted while {PROGRAM} started")]
    Interrupted,
    /// It does not invite us.
    #[error("`{PROGRAM} invite` failed: {message}")]
    Invite {
        /// What it said.
        message: String,
    },
}

impl StartError {
    /// What to do next.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Missing { .. } => {
                "install handoffd, or pair with a daemon elsewhere: `handoff remote add NAME INVITATION`"
            }
            Self::Ended { .. } | Self::TimedOut { .. } => "`handoffd doctor` checks this machine",
            Self::Prepare { .. }
            | Self::Run { .. }
            | Self::Interrupted
            | Self::Invite { .. } => {
                "pair with a daemon elsewhere: `handoff remote add NAME INVITATION`"
            }
        }
        .to_owned()
    }
}

impl Daemon {
    pub(super) fn new(state: PathBuf) -> Self {
        Self { state }
    }

    /// Where the daemon listens, if it runs.
    pub(super) fn running(&self) -> Option<String> {
        match UnixStream::connect(self.state.join("admin.sock")) {
            // Read after that: a daemon writes its own in place of a former one's before it opens the
            // socket.
            Ok(_) => self.address(),
            // The path is too long for a socket; another program may have the port by now, but that
            // will not pass for the daemon.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.address().filter(|address| TcpStream::connect(address).is_ok())
            }
            // Whoever left it behind is dead.
            Err(_) => None,
        }
    }

    /// Starts the daemon unless it runs; returns where it listens.
    pub(super) fn ensure_running(&self) -> Result<String, StartError> {
        if let Some(address) = self.running() {
            return Ok(address);
        }
        let config = self.config_file();
        if !config.exists() {
            write_private(&config, CONFIG.as_bytes())
                .map_err(|source| StartError::Prepare { path: config, source })?;
        }
        self.start()
    }

    /// Asks for an invitation.
    pub(super) fn invite(&self, user: &str) -> Result<String, StartError> {
        let program = find_program()?;
        let output = self
            .command(&program)
            .args(["invite", user])
            .stdin(Stdio::null())
            .output()
            .map_err(|source| StartError::Run { program, source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(StartError::Invite { message })
    }

    fn start(&self) -> Result<String, StartError> {
        let path = self.log_file();
        let prepare = |source| StartError::Prepare { path: path.clone(), source };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(prepare)?;
        let before = log.metadata().map_err(prepare)?.len();
        let mut watch = FileWatch::new(&path).map_err(prepare)?;
        let program = find_program()?;
        let run = |source| StartError::Run { program: program.clone(), source };
        let mut child = self
            .command(&detached::program().map_err(run)?)
            .args(detached::arguments([
                program.clone().into(),
                OsString::from("serve"),
                "--local".into(),
            ]))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(prepare)?)
            .stderr(log)
            .spawn()
            .map_err(run)?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(address) = ready(&path, before).map_err(prepare)? {
                return Ok(self.address().unwrap_or(address));
            }
            if child.try_wait().map_err(run)?.is_some() {
                return Err(StartError::Ended { tail: tail(&path, before), log: path });
            }
            if Instant::now() >= deadline {
                return Err(StartError::TimedOut { tail: tail(&path, before), log: path });
            }
            watch.wait(ENDED_WITHIN).map_err(prepare)?;
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HANDOFFD_STATE", &self.state).env("HANDOFFD_CONFIG", self.config_file());
        command
    }

    /// What the daemon wrote down about where it listens.
    pub(super) fn address(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.state.join("address")).ok()?;
        Some(text.trim().to_owned()).filter(|address| !address.is_empty())
    }

    fn config_file(&self) -> PathBuf {
        self.state.join("handoffd.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.state.join("handoffd.log")
    }
}

/// Finds the daemon next to our own program, where packages put it, else on PATH.
pub(super) fn find_program() -> Result<PathBuf, StartError> {
    let own = std::env::current_exe().and_then(|own| own.canonicalize()).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.parent()
        .map(Path::to_owned)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(PROGRAM))
        .find(|program| program.is_absolute() && program.is_file())
        .ok_or(StartError::Missing { beside: own })
}

/// The address in the line that says that the daemon is ready, if that was written by now.
fn ready(log: &Path, after: u64) -> io::Result<Option<String>> {
    let text = read_from(log, SeekFrom::Start(after))?;
    let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    Ok(lines.find_map(|line| line.trim().strip_prefix(READY).map(str::to_owned)))
}

/// The last lines that were written since the start.
fn tail(log: &Path, after: u64) -> String {
    let text = read_from(log, SeekFrom::Start(after)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

fn read_from(log: &Path, from: SeekFrom) -> io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    file.seek(from)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_after_the_start_says_ready() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let old = "listening on 127.0.0.1:1\n";
        std::fs::write(&log, format!("{old}recovering\nlistening on 127.0.0.1:2")).unwrap();
        let before = old.len() as u64;
        assert_eq!(ready(&log, before).unwrap(), None);
        std::fs::write(&log, format!("{old}recovering\nlistening on 127.0.0.1:2\n")).unwrap();
        assert_eq!(ready(&log, before).unwrap().unwrap(), "127.0.0.1:2");
    }
}
