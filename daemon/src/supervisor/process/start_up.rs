//! Taking hold of a job, once and for all others to see. Starts nothing.

use std::io;
use std::os::unix::net::UnixListener;

use rustix::fs::FlockOperation;

use crate::supervisor::job::Job;
use crate::supervisor::job_dir::{JOB, JobDir, Lock, Marked, OUTPUT};
use crate::supervisor::output::Writer;
use crate::supervisor::start::Answer;

/// A job that is ours: nobody else runs it, now or later.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) job_dir: JobDir,
    pub(super) job: Job,
    pub(super) output: Writer,
    pub(super) listener: UnixListener,
    pub(super) lock: Lock,
}

/// Takes hold of a job, if it passes.
///
/// # Errors
///
/// Fails with the answer for the one who asked.
pub(super) fn take(
    job_dir: JobDir,
    vet: impl FnOnce(Job) -> Result<Job, String>,
) -> Result<Hold, Answer> {
    let _gate =
        job_dir.gate(FlockOperation::LockExclusive).map_err(failed("lock the job directory"))?;
    let lock = job_dir
        .try_lock(FlockOperation::NonBlockingLockExclusive)
        .map_err(failed("lock the job"))?
        .ok_or(Answer::AlreadyRunning)?;
    if job_dir.is_spawned().map_err(failed("look for earlier runs"))? {
        return Err(Answer::AlreadySpawned);
    }
    let job: Job = job_dir
        .read_json(JOB)
        .map_err(failed("read the job"))?
        .ok_or_else(|| Answer::Failed("there is no job".into()))?;
    // What is run is what was vetted: the file is not read again.
    let job = vet(job).map_err(Answer::Failed)?;
    let output = job_dir
        .create_file(OUTPUT)
        .and_then(|file| Writer::start(file, job.output_limit_bytes))
        .map_err(failed("write output"))?;
    let listener = listen(&job_dir).map_err(failed("listen"))?;
    // Last: what fails before this leaves a job that may still be started.
    match job_dir.mark_spawned().map_err(failed("mark the job"))? {
        Marked::Now => Ok(Hold { job_dir, job, output, listener, lock }),
        Marked::Before => Err(Answer::AlreadySpawned),
    }
}

fn listen(job_dir: &JobDir) -> io::Result<UnixListener> {
    job_dir.remove_socket()?;
    let listener = job_dir.bind_socket()?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn failed(what: &str) -> impl FnOnce(io::Error) -> Answer {
    move |error| Answer::Failed(format!("{what}: {error}"))
}
