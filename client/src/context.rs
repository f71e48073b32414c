//! What every command has at hand: settings, streams, the directory and the remote it is about.

use std::path::{Path, PathBuf};

use handoff_proto::path::{AbsolutePath, PathError};

use crate::capture::root;
use crate::cli::Global;
use crate::local;
use crate::output::Output;
use crate::remote::{self, Remote};
use crate::settings::{Places, Settings};

/// What every command has at hand.
#[derive(Clone, Debug)]
pub struct Context {
    /// The client's settings.
    pub settings: Settings,
    /// Where results and talk go.
    pub output: Output,
    remote: Option<String>,
    directory: Option<PathBuf>,
}

/// The directory at hand cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It does not exist or cannot be entered.
    #[error("cannot enter {path}")]
    Enter {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its path cannot be carried.
    #[error("this directory cannot be handed off")]
    Path(#[from] PathError),
}

impl Context {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// Where they cannot be used.
    pub fn load(global: Global, output: Output) -> Result<Self, crate::settings::Error> {
        Ok(Self {
            settings: Settings::load(Places::from_environment()?)?,
            output,
            remote: global.remote,
            directory: global.directory,
        })
    }

    /// The same with other streams.
    #[must_use]
    pub fn with_output(&self, output: Output) -> Self {
        Self { output, ..self.clone() }
    }

    /// The remote named by `--remote`.
    #[must_use]
    pub fn remote_asked_for(&self) -> Option<&str> {
        self.remote.as_deref()
    }

    /// The remote of `--remote`, else the default one, as far as one is paired.
    #[must_use]
    pub fn remote_name(&self) -> Option<&str> {
        self.remote_asked_for().or_else(|| self.settings.default_remote())
    }

    /// The real path of `-C DIR` or the current directory.
    ///
    /// # Errors
    ///
    /// Where there is no such directory.
    pub fn directory(&self) -> Result<AbsolutePath, DirectoryError> {
        let path = self.directory.as_deref().unwrap_or(Path::new("."));
        let real = path
            .canonicalize()
            .and_then(|real| std::fs::read_dir(&real).map(|_| real))
            .map_err(|source| DirectoryError::Enter { path: path.to_owned(), source })?;
        Ok(AbsolutePath::try_from(real.as_path())?)
    }

    /// The root of the tree that the directory belongs to: the git toplevel, else the directory.
    ///
    /// # Errors
    ///
    /// Where there is no such directory or git cannot be asked.
    pub fn root(&self) -> anyhow::Result<AbsolutePath> {
        Ok(root::find(&self.directory()?)?)
    }

    /// Connects to the remote of `--remote`, else the default one, else this machine's own daemon,
    /// which is started if need be.
    ///
    /// # Errors
    ///
    /// Where the remote is not known, cannot be reached or does not accept us.
    pub async fn connect(&self) -> anyhow::Result<Remote> {
        match self.remote.as_deref().or_else(|| self.settings.default_remote()) {
            Some(name) => self.connect_to(name).await,
            None if self.settings.remotes().next().is_some() => Err(NoDefault.into()),
            None => {
                let settings = local::pair(&self.settings, &self.output).await?;
                Ok(remote::connect(local::REMOTE_NAME, settings.remote(local::REMOTE_NAME)?)
                    .await?)
            }
        }
    }

    /// Connects to a remote; starts this machine's own daemon again if it is that one.
    ///
    /// # Errors
    ///
    /// Where the remote is not known, cannot be reached or does not accept us.
    pub async fn connect_to(&self, name: &str) -> anyhow::Result<Remote> {
        let settings = local::refresh(&self.settings, name, &self.output).await?;
        Ok(remote::connect(name, settings.remote(name)?).await?)
    }
}

/// Several remotes, none of them the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("several remotes are paired and none is the default")]
pub struct NoDefault;
