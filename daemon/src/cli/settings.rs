//! Which settings and which state directory a command is about.

use std::path::PathBuf;

use handoff_proto::problem::{Code, Problem};
use rustix::process::geteuid;

use super::exit::failed;
use crate::config::{Config, Locations, Presence};

/// Reads the settings, from `file` when it is given, and finds the state directory.
pub(super) fn read(file: Option<PathBuf>) -> Result<(Config, PathBuf), Problem> {
    let locations = Locations::find(geteuid().as_raw(), |name| std::env::var_os(name))
        .map_err(|error| failed(Code::Failed, &error))?;
    let (path, presence) = match file {
        Some(path) => (path, Presence::Required),
        None => locations.config.clone(),
    };
    let config = Config::load(&path, presence).map_err(|error| failed(Code::Usage, &error))?;
    let state = locations.state(&config);
    let state = std::path::absolute(&state).unwrap_or(state);
    Ok((config, state))
}
