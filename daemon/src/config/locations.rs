//! Where the settings and the state are: the environment, else the usual places of this user.

use std::{ffi::OsString, path::PathBuf};

use directories::ProjectDirs;
use thiserror::Error;

use super::{Config, Presence};

/// Places of the settings file and of the state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locations {
    /// The settings file and whether it must be there.
    pub config: (PathBuf, Presence),
    /// HANDOFFD_STATE, when set; wins over the settings.
    state_override: Option<PathBuf>,
    state_default: PathBuf,
}

/// No usual place is known.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "cannot find the home directory of this user: set HOME, or HANDOFFD_CONFIG and HANDOFFD_STATE"
)]
pub struct LocationsError;

impl Locations {
    /// Finds the places for the user `uid` out of environment variables.
    ///
    /// # Errors
    /// When an ordinary user has no home directory and not both places are given.
    pub fn find(
        uid: u32,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, LocationsError> {
        let given = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (config_override, state_override) = (given("HANDOFFD_CONFIG"), given("HANDOFFD_STATE"));
        let (config_default, state_default) = match (uid, &config_override, &state_override) {
            (0, _, _) => ("/etc/handoffd/handoffd.toml".into(), "/var/lib/handoffd".into()),
            (_, Some(config), Some(state)) => (config.clone(), state.clone()),
            (_, _, _) => {
                let own = ProjectDirs::from("", "", "handoffd").ok_or(LocationsError)?;
                (own.config_dir().join("handoffd.toml"), own.data_local_dir().to_owned())
            }
        };
        let config = match config_override {
            Some(path) => (path, Presence::Required),
            None => (config_default, Presence::Optional),
        };
        Ok(Self { config, state_override, state_default })
    }

    /// The state directory under these settings.
    #[must_use]
    pub fn state(&self, config: &Config) -> PathBuf {
        self.state_override
            .as_ref()
            .or(config.store.directory.as_ref())
            .unwrap_or(&self.state_default)
            .clone()
    }

    /// The state directory of the daemon that `handoff` starts where no remote is paired, by the
    /// client's own rules; none where the environment names a place.
    #[must_use]
    pub fn started_by_client(&self) -> Option<PathBuf> {
        let is_named = self.state_override.is_some() || self.config.1 == Presence::Required;
        let client = ProjectDirs::from("", "", "handoff").filter(|_| !is_named)?;
        Some(client.data_local_dir().join("local"))
    }
}
