//! The supervisor itself: one process, in which one thread does everything, because the sandbox dies
//! with the thread that started it, and without a runtime, a database or a network, so that there is
//! little that could ever make it end before its job does. A second thread measures what is on the
//! disk, and bounds it before the first step where that can be bounded (`disk`).
//!
//! ```text
//! daemon ──▶ supervise ──▶ supervise-detached ──▶ sandbox of step 1, of step 2, ... of the command
//!               └ ends at once, so that the supervisor is nobody's child
//! ```

mod start_up;
mod supervision;

mod front;

mod clients;
mod clock;
mod disk;
mod ending;
mod input;
mod live_step;
mod terminal;
mod verdict;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::job::Job;
use super::job_dir::JobDir;
use super::start::Answer;

/// The hidden subcommand that starts a supervisor and ends.
pub(super) const SUPERVISE: &str = "supervise";

/// The hidden subcommand that is the supervisor.
const SUPERVISE_DETACHED: &str = "supervise-detached";

/// Runs a hidden subcommand if the arguments name one.
///
/// The executable calls this with its arguments, its own name first, before it starts a thread or
/// a runtime, and returns the code if there is one.
#[must_use]
pub fn entry(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, subcommand, rest @ ..] = arguments else { return None };
    if subcommand == disk::MEASURE {
        return Some(disk::measure_for_parent(rest));
    }
    let run: fn(&Path) -> ExitCode = match subcommand.to_str()? {
        SUPERVISE => detach,
        SUPERVISE_DETACHED => supervise,
        _ => return None,
    };
    let [job_dir] = rest else { return Some(ExitCode::from(2)) };
    Some(run(Path::new(job_dir)))
}

/// Starts the supervisor and leaves it alone; it answers on the same standard output.
fn detach(job_dir: &Path) -> ExitCode {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("handoff-supervisor").arg(SUPERVISE_DETACHED).arg(job_dir);
    match command.spawn() {
        Ok(_nobodys_child) => ExitCode::SUCCESS,
        Err(error) => {
            answer(&Answer::Failed(format!("start a process: {error}")));
            ExitCode::FAILURE
        }
    }
}

fn supervise(job_dir: &Path) -> ExitCode {
    match JobDir::open(job_dir) {
        Ok(job_dir) => run_job(job_dir, Ok),
        Err(error) => {
            answer(&Answer::Failed(format!("open the job directory: {error}")));
            ExitCode::FAILURE
        }
    }
}

/// Becomes the supervisor of a job, if `vet` lets the job pass, perhaps changed. Answers on
/// standard output. Only for a process that has just started.
pub(crate) fn run_job(job_dir: JobDir, vet: impl FnOnce(Job) -> Result<Job, String>) -> ExitCode {
    if let Err(error) = leave_session() {
        answer(&Answer::Failed(format!("leave the session: {error}")));
        return ExitCode::FAILURE;
    }
    match start_up::take(job_dir, vet) {
        Ok(hold) => {
            answer(&Answer::Ready);
            supervision::run(hold);
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            answer(&refusal);
            ExitCode::FAILURE
        }
    }
}

fn leave_session() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    // Only for those who look at processes.
    let _unnamed = rustix::thread::set_name(c"handoff-superv");
    Ok(())
}

/// Tells the one who started us how it went, and lets go of the descriptor.
fn answer(answer: &Answer) {
    let told = serde_json::to_vec(answer)
        .map_err(io::Error::from)
        .and_then(|line| io::stdout().write_all(&line))
        .and_then(|()| io::stdout().flush());
    if let Err(error) = told {
        // A daemon that died in the meantime finds us by the lock.
        complain("answer", &error);
    }
    let silenced = std::fs::File::options()
        .write(true)
        .open("/dev/null")
        .and_then(|null| Ok(rustix::stdio::dup2_stdout(&null)?));
    if let Err(error) = silenced {
        complain("let go of standard output", &error);
    }
}

/// Writes to the supervisor's log what nobody can be told.
fn complain(what: &str, error: &dyn std::fmt::Display) {
    // Where the log cannot be written either, there is no place left to say so.
    let _unsaid = writeln!(io::stderr(), "{what}: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> bool {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        entry(&arguments).is_some()
    }

    #[test]
    fn other_commands_are_left_alone() {
        assert!(!check(&["handoffd"]));
        assert!(!check(&["handoffd", "serve"]));
        assert!(!check(&["handoffd", "--", SUPERVISE]));
    }

    #[test]
    fn a_job_is_needed() {
        assert!(check(&["handoffd", SUPERVISE]));
        assert!(check(&["handoffd", SUPERVISE_DETACHED, "a", "b"]));
    }
}
