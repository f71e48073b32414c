//! Changes single paths of a tree that is in use.
//!
//! Everything is resolved beneath the root without following links or crossing mounts. A file
//! appears whole or not at all; what a path held before is never opened.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

use crate::manifest::Timestamp;
use crate::path::TreePath;

use super::beneath::{self, Mounts};
use super::error::{AtPath as _, FileError};
use super::writer::{copy_content, finish_file, finish_symlink, give, permissions};

/// How new names begin until they are renamed; a crash may leave one behind.
const TEMPORARY_PREFIX: &str = ".handoff-new-";

/// Writes a file beside `path`, then renames it over whatever file or link is there.
///
/// Returns the size in bytes. The new file has exactly these permission bits.
///
/// # Errors
///
/// Where `path` is a directory, its parent is missing or reached through a link, the system
/// refuses, or reading `content` fails. The old file is then untouched and nothing stays behind.
pub fn replace_file(
    root: impl AsFd,
    path: &TreePath,
    mode: u32,
    mtime: Timestamp,
    content: &mut dyn Read,
) -> Result<u64, FileError> {
    let parent = parent(root.as_fd(), path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let private = Mode::RUSR | Mode::WUSR;
    let (name, fd) = with_new_name(|name| openat(&parent, name, flags, private))
        .at("create a file beside", Some(path))?;
    let file = File::from(fd);
    let written = copy_content(content, &file, path).and_then(|size| {
        finish_file(&file, path, mode, mtime, None)?;
        Ok(size)
    });
    let renamed = written.and_then(|size| {
        renameat(&parent, &name, &parent, path.file_name()).at("replace", Some(path))?;
        Ok(size)
    });
    renamed.inspect_err(|_| discard(&parent, &name))
}

/// Creates a symbolic link beside `path`, then renames it over whatever file or link is there.
///
/// # Errors
///
/// As [`replace_file`].
pub fn replace_symlink(
    root: impl AsFd,
    path: &TreePath,
    target: &[u8],
    mtime: Timestamp,
) -> Result<(), FileError> {
    let parent = parent(root.as_fd(), path)?;
    let (name, ()) = with_new_name(|name| symlinkat(target, &parent, name))
        .at("create a link beside", Some(path))?;
    finish_symlink(parent.as_fd(), name.as_bytes(), mtime, None)
        .and_then(|()| renameat(&parent, &name, &parent, path.file_name()))
        .at("replace", Some(path))
        .inspect_err(|_| discard(&parent, &name))
}

/// Creates a directory with exactly these permission bits.
///
/// # Errors
///
/// Where `path` exists, its parent is missing or reached through a link, or the system refuses.
pub fn create_directory(root: impl AsFd, path: &TreePath, mode: u32) -> Result<(), FileError> {
    let action = "create the directory";
    let parent = parent(root.as_fd(), path)?;
    mkdirat(&parent, path.file_name(), Mode::RWXU).at(action, Some(path))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&parent, path.file_name(), flags, Mode::empty()).at(action, Some(path))?;
    rustix::fs::fchmod(fd, permissions(mode)).at(action, Some(path))
}

/// Gives a file or directory these permission bits and this time.
///
/// # Errors
///
/// Where `path` is or is reached through a link, may not be read by this user, or the system
/// refuses.
pub fn set_metadata(
    root: impl AsFd,
    path: &TreePath,
    mode: u32,
    mtime: Timestamp,
) -> Result<(), FileError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    beneath::open(root.as_fd(), path, flags, Mode::empty(), Mounts::Refused)
        .and_then(|fd| give(fd.as_fd(), mode, mtime, None))
        .at("set the attributes of", Some(path))
}

/// Removes a file or a symbolic link, the link itself.
///
/// # Errors
///
/// Where `path` is missing ([`FileError::is_not_found`]), a directory or reached through a link,
/// or the system refuses.
pub fn remove_file(root: impl AsFd, path: &TreePath) -> Result<(), FileError> {
    let parent = parent(root.as_fd(), path)?;
    unlinkat(parent, path.file_name(), AtFlags::empty()).at("remove", Some(path))
}

/// Removes a directory if nothing is in it; says whether it did.
///
/// # Errors
///
/// Where `path` is missing, no directory or reached through a link, or the system refuses.
pub fn remove_dir_if_empty(root: impl AsFd, path: &TreePath) -> Result<bool, FileError> {
    let parent = parent(root.as_fd(), path)?;
    match unlinkat(parent, path.file_name(), AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        // POSIX lets systems choose between the two.
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno).at("remove the directory", Some(path)),
    }
}

fn parent(root: BorrowedFd<'_>, path: &TreePath) -> Result<OwnedFd, FileError> {
    beneath::open_parent(root, path, Mounts::Refused).at("open the directory of", Some(path))
}

/// Tries names until one is free. They need not be secret: creation never follows or overwrites.
fn with_new_name<T>(
    mut create: impl FnMut(&str) -> rustix::io::Result<T>,
) -> rustix::io::Result<(String, T)> {
    /// More leftovers of crashes than this in one directory mean that something else is wrong.
    const ATTEMPTS: usize = 1000;
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let process = std::process::id();
    for _ in 0..ATTEMPTS {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY_PREFIX}{process}-{number}");
        match create(&name) {
            Ok(created) => return Ok((name, created)),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

/// Cleans up after a failure that is reported already.
fn discard(parent: &OwnedFd, name: &str) {
    // A second failure must not hide the first.
    let _: rustix::io::Result<()> = unlinkat(parent, name, AtFlags::empty());
}
