//! Reads single files out of trees that may be hostile.

use std::fs::File;
use std::io::Read as _;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, readlinkat, statat};
use rustix::io::Errno;

use crate::path::TreePath;

use super::beneath::{self, Mounts};
use super::error::{AtPath as _, FileError};
use super::meta::{Meta, MetaKind};

/// What the file system says about `path`, itself if it is a symbolic link; `None` if it is absent.
///
/// # Errors
///
/// Where the path leads through a symbolic link, or the system refuses.
pub fn lstat(root: impl AsFd, path: &TreePath) -> Result<Option<Meta>, FileError> {
    let stat = beneath::open_parent(root.as_fd(), path, Mounts::Crossed)
        .and_then(|parent| statat(parent, path.file_name(), AtFlags::SYMLINK_NOFOLLOW));
    match stat {
        Ok(stat) => Ok(Some(Meta::from_stat(&stat))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).at("look at", Some(path)),
    }
}

/// The target of the symbolic link at `path`.
///
/// # Errors
///
/// Where the path leads through a symbolic link or is none, or the system refuses.
pub fn read_link(root: impl AsFd, path: &TreePath) -> Result<Vec<u8>, FileError> {
    beneath::open_parent(root.as_fd(), path, Mounts::Crossed)
        .and_then(|parent| readlinkat(parent, path.file_name(), Vec::new()))
        .map(|target| target.into_bytes())
        .at("read the link", Some(path))
}

/// Opens a regular file for reading and says what it was at that moment.
///
/// Never blocks on a named pipe and never triggers a device: what is no regular file is refused.
///
/// # Errors
///
/// Where the path leads through or is a symbolic link, is no regular file, or the system refuses.
pub fn open_regular(root: impl AsFd, path: &TreePath) -> Result<(File, Meta), FileError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = beneath::open(root.as_fd(), path, flags, Mode::empty(), Mounts::Crossed);
    let fd = match opened {
        // A socket cannot be opened at all.
        Err(Errno::NXIO) => {
            let path = path.to_string();
            return Err(FileError::NotRegular { path });
        }
        opened => opened.at("open", Some(path))?,
    };
    let meta = Meta::from_stat(&fstat(&fd).at("look at", Some(path))?);
    if meta.kind == MetaKind::File {
        Ok((File::from(fd), meta))
    } else {
        let path = path.to_string();
        Err(FileError::NotRegular { path })
    }
}

/// Reads a regular file of at most `max` bytes.
///
/// # Errors
///
/// As [`open_regular`]; and where the file is larger, or its size changes meanwhile.
pub fn read_regular(root: impl AsFd, path: &TreePath, max: u64) -> Result<Vec<u8>, FileError> {
    let (file, meta) = open_regular(root, path)?;
    let too_large = || FileError::TooLarge { path: path.to_string(), max };
    if meta.size > max {
        return Err(too_large());
    }
    let mut content = Vec::new();
    (&file)
        .take(max.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|source| FileError::Io { action: "read", path: path.to_string(), source })?;
    let len = content.len() as u64;
    if len > max {
        return Err(too_large());
    }
    let after = Meta::from_stat(&fstat(&file).at("look at", Some(path))?);
    if len != meta.size || after.size != meta.size {
        let path = path.to_string();
        return Err(FileError::Changed { path });
    }
    Ok(content)
}
