//! The directory that a pull changes.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use handoff_proto::path::AbsolutePath;
use rustix::fs::{Mode, OFlags};

/// The root cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {}", path.display())]
pub struct RootError {
    /// The root.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The root of the tree that a pull changes.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    handle: OwnedFd,
}

impl Root {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// Where it is no directory or cannot be opened.
    pub fn open(path: &AbsolutePath) -> Result<Self, RootError> {
        Self::open_path(path.as_os_path())
    }

    pub(super) fn open_path(path: &Path) -> Result<Self, RootError> {
        let path = path.to_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|error| RootError { path: path.clone(), source: error.into() })?;
        Ok(Self { path, handle })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    #[must_use]
    pub fn handle(&self) -> &OwnedFd {
        &self.handle
    }
}
