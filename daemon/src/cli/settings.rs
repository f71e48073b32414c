//! Which settings and which state directory a command is about.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

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

/// The state directory of the daemon that an operator's command is for.
pub(super) enum Asked {
    /// That of the settings.
    Configured(PathBuf),
    /// That of the daemon which the client started for this user, who is its operator.
    StartedByClient(PathBuf),
}

impl Asked {
    pub(super) fn state(&self) -> &Path {
        match self {
            Self::Configured(state) | Self::StartedByClient(state) => state,
        }
    }
}

/// Where no daemon was ever set up and none is named, the one of the client is meant. A directory
/// of somebody else is none: it would be told secrets.
pub(super) fn asked() -> Result<Asked, Problem> {
    let (_, state) = read(None)?;
    let uid = geteuid().as_raw();
    let locations = Locations::find(uid, |name| std::env::var_os(name)).ok();
    let is_own = |own: &PathBuf| fs::metadata(own).is_ok_and(|found| found.uid() == uid);
    let own = locations.and_then(|locations| locations.started_by_client()).filter(is_own);
    Ok(match own {
        Some(own) if !state.exists() => Asked::StartedByClient(own),
        Some(_) | None => Asked::Configured(state),
    })
}
