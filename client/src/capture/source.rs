//! Where the content of a captured file is read from, now and again when it is sent.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_proto::chunk::ChunkRef;
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, open_regular};
use rustix::fs::{Mode, OFlags};

/// Where a file's content comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The file of the same path in the tree.
    Tree,
    /// A file beneath another directory: a git directory that is not in the tree.
    Elsewhere(Arc<Directory>, TreePath),
    /// Nowhere: the snapshot has content of its own there.
    Generated(Arc<[u8]>),
    /// The same, too much to be held in memory: an unnamed file.
    Spooled(Arc<File>),
    /// Only on the remote, which has these chunks.
    Remote(Arc<[ChunkRef]>),
}

/// A directory that is read from, held open.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

/// Content that is open for reading.
pub(super) enum Content {
    File(File),
    Generated(Arc<[u8]>),
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), fd })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Source {
    /// Whether the content is a file's.
    pub(super) fn is_on_disk(&self) -> bool {
        matches!(self, Self::Tree | Self::Elsewhere(..))
    }

    /// Opens the content of the file that is carried as `path` from the tree at `root`.
    pub(super) fn open(&self, root: &Directory, path: &TreePath) -> Result<Content, FileError> {
        let (directory, path) = match self {
            Self::Tree => (root, path),
            Self::Elsewhere(directory, path) => (&**directory, path),
            Self::Generated(content) => return Ok(Content::Generated(Arc::clone(content))),
            Self::Spooled(file) => {
                let (action, path) = ("open", path.to_string());
                let file = file.try_clone();
                return file.map(Content::File).map_err(|source| FileError::Io {
                    action,
                    path,
                    source,
                });
            }
            Self::Remote(_) => {
                let (action, path) = ("read", path.to_string());
                let source = io::ErrorKind::NotFound.into();
                return Err(FileError::Io { action, path, source });
            }
        };
        let (file, _) = open_regular(directory.fd.as_fd(), path)?;
        Ok(Content::File(file))
    }
}
