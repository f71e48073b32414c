//! What the launcher starts for a request, in a process of its own: a trial run, or a supervisor
//! whose job the operator allows. Standard output is the one who asked.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use handoff_proto::run::RunId;
use rustix::fs::Mode;

use super::request::Request;
use super::state::State;
use super::vet::Rules;
use super::{place, uids};
use crate::config::{Config, Locations};
use crate::supervisor::{Answer, run_job};
use crate::workspace::{JobKind, Tools};

/// The hidden subcommand.
pub(super) const LAUNCHED: &str = "launched";

/// The directory of locks, beside the launcher's socket.
pub(super) const LOCKS: &str = "uids";

/// What the operator decides, read anew for each request.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) state: PathBuf,
    /// The launcher's socket.
    pub(super) socket: PathBuf,
}

impl Settings {
    /// Reads the settings, which root alone must be able to change.
    pub(super) fn read() -> Result<Self, String> {
        let locations =
            Locations::find(0, |name| std::env::var_os(name)).map_err(|error| error.to_string())?;
        let (path, presence) = &locations.config;
        let named = |error: io::Error| format!("settings in {}: {error}", path.display());
        let path = path.canonicalize().map_err(named)?;
        place::check_all(&path).map_err(|error| error.to_string())?;
        let config = Config::load(&path, *presence).map_err(|error| error.to_string())?;
        let socket = config.isolation.launcher.clone().ok_or_else(|| {
            format!("settings in {} have no `launcher` in [isolation]", path.display())
        })?;
        let state = locations.state(&config);
        Ok(Self { config, state, socket })
    }
}

/// Runs the hidden subcommand if the arguments name it.
///
/// The executable calls this with its arguments, its own name first, before it starts a thread or
/// a runtime, and returns the code if there is one.
#[must_use]
pub fn entry(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, subcommand, line] = arguments else { return None };
    if subcommand.to_str()? != LAUNCHED {
        return None;
    }
    let done = match line.to_str().map(str::parse) {
        Some(Ok(Request::Start { run, kind, number })) => start(&run, kind, number),
        Some(Ok(Request::Probe)) => probe(),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the request is not text".into()),
    };
    Some(done.unwrap_or_else(|reason| {
        refuse(io::stdout().lock(), &reason);
        ExitCode::FAILURE
    }))
}

/// Tells the one who asked, and the log, that nothing is started.
pub(super) fn refuse(mut to: impl io::Write, reason: &str) {
    let line = serde_json::to_vec(&Answer::Failed(format!("launcher: {reason}")));
    let told = line.map_err(io::Error::from).and_then(|line| to.write_all(&line));
    // Who has gone reads it in the log.
    drop(told);
    drop(writeln!(io::stderr(), "refused: {reason}"));
}

fn probe() -> Result<ExitCode, String> {
    let layers = serde_json::to_vec(&handoff_sandbox::probe()).map_err(|e| e.to_string())?;
    io::stdout().write_all(&layers).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Becomes the supervisor of a job.
fn start(run: &RunId, kind: JobKind, number: u32) -> Result<ExitCode, String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    rustix::thread::set_thread_groups(&[])
        .map_err(|error| failed("give up groups")(error.into()))?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let Settings { config, state, socket } = Settings::read()?;
    let state = State::open(&state).map_err(failed("open the state directory"))?;
    let job_dir = state.job(run, kind, number).map_err(failed("open the job directory"))?;
    let tools = Tools::configured(&config.tools.paths).map_err(|error| error.to_string())?;
    let locks = socket.with_file_name(LOCKS);
    let lease = uids::lease(&locks, run)
        .map_err(failed("choose a uid"))?
        .ok_or("every uid for runs is in use")?;
    let State { path, user, .. } = &state;
    let rules =
        Rules { config: &config, tools: &tools, state: path, user: *user, run, uid: lease.uid };
    // Holds the uid until it returns.
    let ended = run_job(job_dir, |job| rules.vet(job).map_err(|error| error.to_string()));
    drop(lease);
    Ok(ended)
}
