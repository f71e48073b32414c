//! What is left of a job that no supervisor holds, or no longer. Only looks.

use std::fmt;
use std::io;

use rustix::fs::FlockOperation;

use super::job::JobExit;
use super::job_dir::{EXIT, JobDir, Lock};

/// Tells what is left of a job without a supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing was ever started; the job may be.
    NeverSpawned,
    /// It ended, and this is how.
    Exited(Box<JobExit>),
    /// It was started, and its supervisor is gone without a last word: killed, or the machine went
    /// down. Its sandbox died with it.
    Vanished,
}

/// Tells whether a job has a supervisor.
#[derive(Debug)]
pub(super) enum Life {
    /// It has.
    Alive,
    /// It has not.
    Over(Remains),
}

impl JobDir {
    /// Looks whether a supervisor lives; waits for one that is just starting up.
    pub(super) fn look(&self) -> io::Result<Life> {
        let _gate = self.gate(FlockOperation::LockShared)?;
        match self.try_lock(FlockOperation::NonBlockingLockShared)? {
            Some(free) => Ok(Life::Over(self.remains(&free)?)),
            None => Ok(Life::Alive),
        }
    }

    /// Waits until the supervisor that lives is gone.
    pub(super) fn wait_until_over(&self) -> io::Result<Remains> {
        let free = self.wait_for_lock()?;
        self.remains(&free)
    }

    /// Tells what is left; the lock proves that nobody is adding to it.
    fn remains(&self, _free: &Lock) -> io::Result<Remains> {
        if let Some(exit) = self.read_json(EXIT)? {
            return Ok(Remains::Exited(Box::new(exit)));
        }
        Ok(if self.is_spawned()? { Remains::Vanished } else { Remains::NeverSpawned })
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverSpawned => f.write_str("the job was never started"),
            Self::Exited(exit) => write!(f, "the job ended: {}", exit.ended),
            Self::Vanished => f.write_str("the supervisor vanished"),
        }
    }
}
