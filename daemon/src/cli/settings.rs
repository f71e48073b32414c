//! Which settings and which state directory a command is about.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

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

/// The state directory of the daemon that the client starts for this user alone, unless another one
/// is named. A directory of somebody else is none: it would be told secrets.
pub(super) fn started_by_client() -> Option<PathBuf> {
    let uid = geteuid().as_raw();
    let locations = Locations::find(uid, |name| std::env::var_os(name)).ok()?;
    let state = locations.started_by_client()?;
    fs::metadata(&state).is_ok_and(|directory| directory.uid() == uid).then_some(state)
}
