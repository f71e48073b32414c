//! Has the notifier run from now on and after every login: by systemd, else by the desktop.
//!
//! Doing it again changes nothing but to run the program as it is now.

mod autostart;
mod systemd;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::BaseDirs;

use super::lock::Lock;
use crate::settings::Places;

/// Variables that decide where the notifier finds settings and state.
const PLACE_VARIABLES: [&str; 3] = ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];

/// How long a started notifier may take until it holds its lock.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Where files of the desktop and of systemd belong, and how the notifier is run.
#[derive(Clone, Debug)]
pub struct Installation {
    places: Places,
    config: PathBuf,
    program: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

/// The notifier cannot be installed or uninstalled.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no home directory.
    #[error("there is no home directory")]
    NoHome,
    /// Our own program has no path that a file can name.
    #[error("cannot tell where this program is")]
    Program(#[source] io::Error),
    /// The path cannot be written into a file of that format.
    #[error("{path} has a name that cannot be written into a {format} file")]
    Name {
        /// The path.
        path: PathBuf,
        /// Which format.
        format: &'static str,
    },
    /// A file cannot be written or removed.
    #[error("cannot change {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// systemd refuses.
    #[error("`systemctl --user {arguments}` failed: {message}")]
    Systemctl {
        /// What it was asked.
        arguments: String,
        /// What it said.
        message: String,
    },
    /// The notifier cannot be started.
    #[error("cannot start the notifier")]
    Start(#[source] io::Error),
    /// The notifier ended at once.
    #[error("the notifier ended at once; {log} tells why")]
    Ended {
        /// Its log.
        log: PathBuf,
    },
    /// The notifier cannot be ended.
    #[error("cannot stop the notifier")]
    Stop(#[source] io::Error),
}

impl Installation {
    /// An installation for this user, of this program.
    ///
    /// # Errors
    ///
    /// Where there is no home, or our own program is not known.
    pub fn of_this_program(places: &Places) -> Result<Self, InstallError> {
        let base = BaseDirs::new().ok_or(InstallError::NoHome)?;
        let program = std::env::current_exe()
            .and_then(|program| program.canonicalize())
            .map_err(InstallError::Program)?;
        let set = |name| Some((name, std::env::var_os(name).filter(|value| !value.is_empty())?));
        Ok(Self {
            places: places.clone(),
            config: base.config_dir().to_owned(),
            program,
            environment: PLACE_VARIABLES.into_iter().filter_map(set).collect(),
        })
    }

    /// Installs and starts the notifier; returns what was done, a line each.
    ///
    /// # Errors
    ///
    /// Where a file cannot be written or the notifier does not run afterwards.
    pub async fn install(&self) -> Result<Vec<String>, InstallError> {
        if systemd::is_usable().await {
            return systemd::install(self).await;
        }
        let mut done = autostart::install(self)?;
        done.push(autostart::start(self).await?);
        Ok(done)
    }

    /// Stops and uninstalls the notifier; returns what was done, a line each.
    ///
    /// # Errors
    ///
    /// Where a file cannot be removed or the notifier cannot be stopped.
    pub async fn uninstall(&self) -> Result<Vec<String>, InstallError> {
        let mut done = systemd::uninstall(self).await?;
        done.extend(autostart::uninstall(self)?);
        done.extend(autostart::stop(self).await?);
        Ok(done)
    }

    fn lock(&self) -> Lock {
        Lock::new(&self.places)
    }
}

/// Writes a file unless it has this content; tells what was done.
fn write(path: &Path, content: &str) -> Result<String, InstallError> {
    if std::fs::read(path).is_ok_and(|old| old == content.as_bytes()) {
        return Ok(format!("{} is as it should be", path.display()));
    }
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, content));
    written.map_err(|source| InstallError::Write { path: path.to_owned(), source })?;
    Ok(format!("wrote {}", path.display()))
}

/// Removes a file if it is there; tells what was done.
fn remove(path: &Path) -> Result<Option<String>, InstallError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(Some(format!("removed {}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InstallError::Write { path: path.to_owned(), source }),
    }
}
