//! Where the client keeps its files: the platform's directories, XDG where there is XDG.

use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use super::Error;

/// The client's directories; none is created before it is needed.
#[derive(Clone, Debug)]
pub struct Places {
    /// What the user may edit: `config.toml`.
    pub config: PathBuf,
    /// What the client must remember: keys, runs, snapshots, cursors.
    pub state: PathBuf,
    /// What belongs to this machine's own daemon.
    pub data: PathBuf,
    /// What may be lost at any time and only saves work.
    pub cache: PathBuf,
}

impl Places {
    /// The directories that the environment names.
    ///
    /// # Errors
    ///
    /// Where there is no home directory.
    pub fn from_environment() -> Result<Self, Error> {
        let dirs = ProjectDirs::from("", "", "handoff").ok_or(Error::NoHome)?;
        Ok(Self {
            config: dirs.config_dir().to_owned(),
            // Systems without a state directory keep state beside the data.
            state: dirs.state_dir().unwrap_or(dirs.data_local_dir()).to_owned(),
            data: dirs.data_local_dir().to_owned(),
            cache: dirs.cache_dir().to_owned(),
        })
    }

    /// All of them beneath one directory.
    #[must_use]
    pub fn beneath(directory: &Path) -> Self {
        Self {
            config: directory.join("config"),
            state: directory.join("state"),
            data: directory.join("data"),
            cache: directory.join("cache"),
        }
    }

    /// The settings file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Key, certificate and CA of one remote.
    #[must_use]
    pub fn remote(&self, name: &str) -> PathBuf {
        self.state.join("remotes").join(name)
    }

    /// What one remote has of the repositories that were handed off to it.
    #[must_use]
    pub fn packs(&self, remote: &str) -> PathBuf {
        self.remote(remote).join("packs")
    }

    /// One file for each run handed off from here.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.state.join("runs")
    }

    /// Encoded snapshot manifests by id.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.state.join("snapshots")
    }

    /// What the files of each captured tree held.
    #[must_use]
    pub fn stat_caches(&self) -> PathBuf {
        self.cache.join("trees")
    }

    /// One directory for each handoff that no receipt has come for.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.state.join("outbox")
    }

    /// Who may advance the sessions that were handed off from here.
    #[must_use]
    pub fn leases(&self) -> PathBuf {
        self.state.join("leases")
    }

    /// What went wrong with handoffs that agents were not told of in time.
    #[must_use]
    pub fn hook(&self) -> PathBuf {
        self.state.join("hook")
    }

    /// What was changed in files of agents.
    #[must_use]
    pub fn installed(&self) -> PathBuf {
        self.state.join("installed")
    }

    /// What the notifier remembers.
    #[must_use]
    pub fn notifier(&self) -> PathBuf {
        self.state.join("notifier")
    }

    /// State of this machine's own daemon.
    #[must_use]
    pub fn local_daemon(&self) -> PathBuf {
        self.data.join("local")
    }
}
