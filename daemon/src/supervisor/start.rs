//! Making a job and starting its supervisor: the daemon's side. The supervisor that is started here
//! is nobody's child for long: it belongs to no session, group or runtime of the daemon.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{FlockOperation, Mode, fsync};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::job::Job;
use super::job_dir::{JOB, JobDir, LOG};
use super::process::SUPERVISE;

/// What the supervisor gets of the daemon's environment: how programs are found.
const ENVIRONMENT: [&str; 2] = ["PATH", "HANDOFF_BWRAP"];

/// Longest answer of a supervisor that starts.
pub(crate) const ANSWER_LEN_MAX: u64 = 64 * 1024;

/// Says why a job was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The job has run already; it cannot become another one.
    #[error("job {path} was started before")]
    AlreadySpawned {
        /// Its directory.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("write job {path}: {source}")]
    Io {
        /// The job's directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Says why a job was not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscardError {
    /// The job has a supervisor.
    #[error("job {path} is running")]
    Running {
        /// The job's directory.
        path: PathBuf,
    },
    /// A file could not be removed.
    #[error("remove job {path}: {source}")]
    Io {
        /// The job's directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Says why no supervisor was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The job has a supervisor: attach to it.
    #[error("job {path} has a supervisor already")]
    AlreadyRunning {
        /// The job's directory.
        path: PathBuf,
    },
    /// The job has run before; attaching tells what is left of it.
    #[error("job {path} was started before")]
    AlreadySpawned {
        /// The job's directory.
        path: PathBuf,
    },
    /// The supervisor could not get ready.
    #[error("supervise job {path}: {detail}")]
    Failed {
        /// The job's directory.
        path: PathBuf,
        /// What it complained about.
        detail: String,
    },
    /// No process could be started.
    #[error("start a supervisor for job {path}: {source}")]
    Io {
        /// The job's directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What a supervisor says to who started it, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It can be attached to, and the first step is started next.
    Ready,
    /// Another one has the job.
    AlreadyRunning,
    /// The job has run before.
    AlreadySpawned,
    /// It cannot start.
    Failed(String),
}

/// Makes the directory of a job, or describes the job anew if it was never started.
///
/// # Errors
///
/// Fails if the job was started before or cannot be written.
pub async fn create(job_dir: &Path, job: &Job) -> Result<(), CreateError> {
    let (path, job) = (job_dir.to_owned(), job.clone());
    let created = tokio::task::spawn_blocking(move || write_job(&path, &job)).await;
    let failed = |source| CreateError::Io { path: job_dir.to_owned(), source };
    if created.unwrap_or_else(|stopped| Err(io::Error::other(stopped))).map_err(failed)? {
        Ok(())
    } else {
        Err(CreateError::AlreadySpawned { path: job_dir.to_owned() })
    }
}

/// Removes a job without a supervisor, with all that is left of it; another may take its place.
///
/// # Errors
///
/// Fails if the job has a supervisor or cannot be removed.
pub async fn discard(job_dir: &Path) -> Result<(), DiscardError> {
    let path = job_dir.to_owned();
    let removed = tokio::task::spawn_blocking(move || remove_job(&path)).await;
    let failed = |source| DiscardError::Io { path: job_dir.to_owned(), source };
    if removed.unwrap_or_else(|stopped| Err(io::Error::other(stopped))).map_err(failed)? {
        Ok(())
    } else {
        Err(DiscardError::Running { path: job_dir.to_owned() })
    }
}

/// Starts the supervisor of a job and waits until it can be attached to.
///
/// # Errors
///
/// Fails if there is or was one already, or if it could not be started.
pub async fn start(job_dir: &Path) -> Result<(), StartError> {
    start_with(Path::new("/proc/self/exe"), job_dir).await
}

/// Starts the supervisor of a job by another executable than this one; see [`start`].
///
/// # Errors
///
/// Fails as [`start`] does.
pub async fn start_with(program: &Path, job_dir: &Path) -> Result<(), StartError> {
    conclude(job_dir, ask(program, job_dir).await)
}

/// Has somebody else start the supervisor of a job, who returns what that says; see [`start`].
///
/// # Errors
///
/// Fails as [`start`] does.
pub async fn start_through(
    job_dir: &Path,
    asking: impl Future<Output = io::Result<Vec<u8>>>,
) -> Result<(), StartError> {
    let answer = asking.await.map(|answer| {
        serde_json::from_slice(&answer).unwrap_or_else(|_no_answer| {
            Answer::Failed("died without a word; see the log of the launcher".into())
        })
    });
    conclude(job_dir, answer)
}

fn conclude(job_dir: &Path, answer: io::Result<Answer>) -> Result<(), StartError> {
    let path = job_dir.to_owned();
    let answer = match answer {
        Ok(answer) => answer,
        Err(source) => return Err(StartError::Io { path, source }),
    };
    match answer {
        Answer::Ready => Ok(()),
        Answer::AlreadyRunning => Err(StartError::AlreadyRunning { path }),
        Answer::AlreadySpawned => Err(StartError::AlreadySpawned { path }),
        Answer::Failed(detail) => Err(StartError::Failed { path, detail }),
    }
}

/// Tells whether the job was written; not if it was started before.
fn write_job(path: &Path, job: &Job) -> io::Result<bool> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            fsync(std::fs::File::open(parent)?)?;
        }
        Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let job_dir = JobDir::open(path)?;
    if job_dir.is_spawned()? {
        return Ok(false);
    }
    job_dir.write_json(JOB, job)?;
    Ok(true)
}

/// Tells whether the job is gone; not if it has a supervisor.
fn remove_job(path: &Path) -> io::Result<bool> {
    // Moved away first, so that after a crash there is a whole job or none.
    let mut grave = path.as_os_str().to_owned();
    grave.push(".discarded");
    let grave = PathBuf::from(grave);
    remove_tree(&grave)?;
    let job_dir = match JobDir::open(path) {
        Ok(job_dir) => job_dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let _gate = job_dir.gate(FlockOperation::LockExclusive)?;
    let Some(_lock) = job_dir.try_lock(FlockOperation::NonBlockingLockExclusive)? else {
        return Ok(false);
    };
    std::fs::rename(path, &grave)?;
    remove_tree(&grave)?;
    Ok(true)
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn ask(program: &Path, job_dir: &Path) -> io::Result<Answer> {
    let path = std::path::absolute(job_dir)?;
    let log = JobDir::open(&path)?.append_file(LOG)?;
    let mut command = Command::new(program);
    command.arg0("handoffd").arg(SUPERVISE).arg(&path).current_dir("/").env_clear();
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn()?;
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // Ends when the supervisor has answered, or has died and its parent with it.
        stdout.take(ANSWER_LEN_MAX).read_to_end(&mut answer).await?;
    }
    let status = child.wait().await?;
    Ok(serde_json::from_slice(&answer).unwrap_or_else(|_no_answer| {
        let log = path.join(LOG);
        Answer::Failed(format!("died without a word ({status}); see {}", log.display()))
    }))
}
