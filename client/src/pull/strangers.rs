//! Finds what lies in a directory and is known to nobody.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use handoff_proto::path::TreePath;
use rustix::fs::{Dir, FileType, Mode, OFlags, openat};

/// How deep is looked: deeper directories than `PATH_MAX` allows cannot exist.
const DEPTH_MAX: usize = 2048;

/// The first thing beneath `directory` that is not `known`, never following a link.
///
/// # Errors
///
/// Where a directory cannot be read.
pub(super) fn find_stranger(
    root: BorrowedFd<'_>,
    directory: &TreePath,
    known: &dyn Fn(&TreePath) -> bool,
) -> io::Result<Option<TreePath>> {
    search(open_directory(root, directory)?, directory, known, 0)
}

/// The names in a directory, `.` and `..` left out.
///
/// # Errors
///
/// Where it cannot be read.
pub(super) fn names(
    root: BorrowedFd<'_>,
    directory: Option<&TreePath>,
) -> io::Result<Vec<Vec<u8>>> {
    let handle = match directory {
        Some(directory) => open_directory(root, directory)?,
        None => openat(root, c".", FLAGS, Mode::empty())?,
    };
    Ok(list(&handle)?.into_iter().map(|(name, _)| name).collect())
}

const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn search(
    handle: OwnedFd,
    directory: &TreePath,
    known: &dyn Fn(&TreePath) -> bool,
    depth: usize,
) -> io::Result<Option<TreePath>> {
    for (name, kind) in list(&handle)? {
        let path = directory.join(&name).map_err(io::Error::other)?;
        if !known(&path) {
            return Ok(Some(path));
        }
        if kind == FileType::Directory && depth < DEPTH_MAX {
            let inner = openat(&handle, name.as_slice(), FLAGS, Mode::empty())?;
            let found = search(inner, &path, known, depth + 1)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

fn list(handle: &OwnedFd) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(handle)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            // Some file systems do not say it in the listing.
            let stat = rustix::fs::statat(handle, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
            kind = FileType::from_raw_mode(stat.st_mode);
        }
        found.push((name.to_vec(), kind));
    }
    Ok(found)
}

fn open_directory(root: BorrowedFd<'_>, directory: &TreePath) -> io::Result<OwnedFd> {
    let mut handle: Option<OwnedFd> = None;
    for component in directory.components() {
        let at = handle.as_ref().map_or(root, |handle| handle.as_fd());
        handle = Some(openat(at, component, FLAGS, Mode::empty())?);
    }
    handle.ok_or_else(|| io::ErrorKind::NotFound.into())
}
