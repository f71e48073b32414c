//! One connection to a supervisor, from the daemon's side: finding out whom there is to talk to, and
//! talking. Remembers nothing of what was said.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;

use super::job_dir::JobDir;
use super::message::{FromSupervisor, Incoming, State, ToSupervisor, to_line};
use super::remains::{Life, Remains};

/// How long a supervisor may take to answer: it never waits for anything but a slow disk and the
/// death of killed processes.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How often to call: once before it started, once after, and once more for one that is leaving.
const CALLS_MAX: usize = 3;

/// Says why a job cannot be attached to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// It has no supervisor.
    #[error("{0}")]
    NotRunning(Remains),
    /// Its supervisor lives and does not answer.
    #[error("the supervisor of job {path} does not answer: {source}")]
    Unreachable {
        /// The job's directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Too much waited to be typed; now there is room.
    #[error("keys for job {path} were not taken, as others waited to be typed")]
    KeysRefused {
        /// The job's directory.
        path: PathBuf,
    },
    /// The job's files cannot be read.
    #[error("read job {path}: {source}")]
    Io {
        /// The job's directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    incoming: Incoming,
}

impl Connection {
    /// Calls the supervisor and hears how things stand, or tells what is left if there is none.
    pub(super) async fn call(path: &Path) -> Result<(Self, State), AttachError> {
        let unreachable = |source| AttachError::Unreachable { path: path.to_owned(), source };
        let mut failure = io::Error::from(io::ErrorKind::NotConnected);
        for _ in 0..CALLS_MAX {
            match Self::try_call(path).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(unreachable(error));
                }
                Err(error) => failure = error,
            }
            // Waits for one that is just starting or leaving.
            if let Life::Over(remains) = in_job_dir(path, JobDir::look).await? {
                return Err(AttachError::NotRunning(remains));
            }
        }
        // It was killed: the kernel closes its files one after the other.
        let over = in_job_dir(path, JobDir::wait_until_over);
        match tokio::time::timeout(ANSWER_MAX, over).await {
            Ok(remains) => Err(AttachError::NotRunning(remains?)),
            Err(_still_alive) => Err(unreachable(failure)),
        }
    }

    /// Connects without a word.
    pub(super) async fn open(path: &Path) -> io::Result<Self> {
        let job_dir = JobDir::open(path)?;
        let connect = UnixStream::connect(job_dir.socket_path());
        let stream = tokio::time::timeout(ANSWER_MAX, connect).await??;
        Ok(Self { stream, incoming: Incoming::default() })
    }

    async fn try_call(path: &Path) -> io::Result<(Self, State)> {
        let call = async {
            let mut connection = Self::open(path).await?;
            let state = connection.greet().await?;
            Ok((connection, state))
        };
        tokio::time::timeout(ANSWER_MAX, call).await?
    }

    /// Asks how things stand.
    async fn greet(&mut self) -> io::Result<State> {
        self.send(&ToSupervisor::Attach).await?;
        loop {
            if let FromSupervisor::Hello { state } = self.receive().await? {
                return Ok(state);
            }
        }
    }

    pub(super) async fn send(&mut self, message: &ToSupervisor) -> io::Result<()> {
        let line = to_line(message)?;
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for a message. Dropping the future loses nothing.
    pub(super) async fn receive(&mut self) -> io::Result<FromSupervisor> {
        loop {
            if let Some(message) = self.incoming.next()? {
                return Ok(message);
            }
            self.stream.readable().await?;
            let mut bytes = [0; 4096];
            match self.stream.try_read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.incoming.push(&bytes[..read])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Does what may wait for the disk or a lock away from the runtime. Of a job without a directory
/// nothing was ever spawned.
pub(super) async fn in_job_dir<T: Send + 'static>(
    path: &Path,
    look: impl FnOnce(&JobDir) -> io::Result<T> + Send + 'static,
) -> Result<T, AttachError> {
    let own = path.to_owned();
    let looked = tokio::task::spawn_blocking(move || match JobDir::open(&own) {
        Ok(job_dir) => look(&job_dir).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    });
    match looked.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(AttachError::NotRunning(Remains::NeverSpawned)),
        Err(source) => Err(AttachError::Io { path: path.to_owned(), source }),
    }
}
