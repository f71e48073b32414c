//! One look at what a job has on the disk: here, or, where the run has a uid of its own and the
//! supervisor is not root, by a process in a user namespace in which that uid is within reach.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::measure::{Measured, measure};
use super::unlinked::unlinked;

/// The hidden subcommand of the process.
pub(super) const MEASURE: &str = "measure-disk";

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eyes {
    /// The supervisor, whose files they are or who is root.
    Own,
    /// A process for each look: what is the run's is closed to the supervisor.
    OfRun,
}

/// What was found, and at what cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) found: Measured,
    /// Processor time.
    pub(super) cost: Duration,
}

impl Eyes {
    /// Looks at these directories and, below the process `top` unless that is 0, at files without a
    /// name, until it is done or `ended` is set.
    pub(super) fn look(self, roots: &[PathBuf], top: u32, ended: &AtomicBool) -> io::Result<Look> {
        match self {
            Self::Own => Ok(look(roots, top, ended, ClockId::ThreadCPUTime)),
            Self::OfRun => of_run(roots, top),
        }
    }
}

fn look(roots: &[PathBuf], top: u32, ended: &AtomicBool, clock: ClockId) -> Look {
    let started = processor_time(clock);
    let mut found = measure(roots, ended);
    if top != 0 {
        let held = unlinked(top);
        found.bytes += held.bytes;
        found.files += held.files;
    }
    Look { found, cost: processor_time(clock).saturating_sub(started) }
}

/// What this thread or process has used of a processor.
fn processor_time(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

fn of_run(roots: &[PathBuf], top: u32) -> io::Result<Look> {
    let said = Command::new("/proc/self/exe")
        .arg(MEASURE)
        .args([std::process::id(), top].map(|number| number.to_string()))
        .args(roots)
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    serde_json::from_slice(&said.stdout)
        .map_err(|_no_answer| io::Error::other(format!("the process for it {}", said.status)))
}

/// The process: enters the namespace, looks and says what there is.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    match look_beside(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain("measure the disk", &error);
            ExitCode::FAILURE
        }
    }
}

fn look_beside(arguments: &[OsString]) -> io::Result<()> {
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse::<u32>().ok());
    let [parent, top, roots @ ..] = arguments else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (Some(parent), Some(top)) = (number(parent), number(top)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    handoff_sandbox::enter_beside(Some(top).filter(|top| *top != 0), parent)
        .map_err(io::Error::other)?;
    let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    let found = look(&roots, top, &AtomicBool::new(false), ClockId::ProcessCPUTime);
    io::stdout().write_all(&serde_json::to_vec(&found)?)
}
