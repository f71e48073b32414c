//! Opens paths beneath a directory so that nothing leads out of it.
//!
//! On Linux the kernel resolves the whole path with `openat2`. Where that is missing (macOS, old
//! kernels, some containers) components are opened one by one without following links, which gives
//! the same guarantee at more cost.

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::{Errno, Result};

use crate::path::TreePath;

/// Whether a path may lead into another file system that is mounted beneath the root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounts {
    /// A user's tree may hold mounts, which are carried like directories.
    Crossed,
    /// Nothing is ever written across a mount.
    Refused,
}

/// Enough of a descriptor to use it as a directory in other calls; needs no read permission.
#[cfg(target_os = "linux")]
const DIRECTORY_HANDLE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
#[cfg(not(target_os = "linux"))]
const DIRECTORY_HANDLE: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Opens what is at `path`; a symbolic link anywhere in it is `ELOOP`, also at its end.
pub(super) fn open(
    root: BorrowedFd<'_>,
    path: &TreePath,
    flags: OFlags,
    mode: Mode,
    mounts: Mounts,
) -> Result<OwnedFd> {
    open_bytes(root, path.as_bytes(), flags, mode, mounts)
}

/// Opens a directory to read its entries; `None` is the root itself.
pub(super) fn open_directory(
    root: BorrowedFd<'_>,
    path: Option<&TreePath>,
    mounts: Mounts,
) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    match path {
        Some(path) => open(root, path, flags, Mode::empty(), mounts),
        None => openat(root, c".", flags | OFlags::CLOEXEC, Mode::empty()),
    }
}

/// Opens the directory that holds `path`, for calls that take a directory and a name.
pub(super) fn open_parent(
    root: BorrowedFd<'_>,
    path: &TreePath,
    mounts: Mounts,
) -> Result<OwnedFd> {
    match path.split().0 {
        Some(parent) => open_bytes(root, parent, DIRECTORY_HANDLE, Mode::empty(), mounts),
        None => openat(root, c".", DIRECTORY_HANDLE | OFlags::CLOEXEC, Mode::empty()),
    }
}

fn open_bytes(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    mounts: Mounts,
) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    match open_at_once(root, path, flags, mode, mounts) {
        // Some containers answer EPERM to calls that they do not know.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root, path, flags, mode, mounts),
        result => result,
    }
}

#[cfg(target_os = "linux")]
fn open_at_once(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    mounts: Mounts,
) -> Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};

    /// The kernel says "again" while somebody renames directories in the same file system.
    const ATTEMPTS: usize = 16;

    let mut resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if mounts == Mounts::Refused {
        resolve |= ResolveFlags::NO_XDEV;
    }
    for _ in 1..ATTEMPTS {
        match openat2(root, path, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    openat2(root, path, flags, mode, resolve)
}

#[cfg(not(target_os = "linux"))]
fn open_at_once(
    _root: BorrowedFd<'_>,
    _path: &[u8],
    _flags: OFlags,
    _mode: Mode,
    _mounts: Mounts,
) -> Result<OwnedFd> {
    Err(Errno::NOSYS)
}

/// Opens component by component, none of which may be a symbolic link.
pub(super) fn open_stepwise(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    mounts: Mounts,
) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let device = fstat(root)?.st_dev;
    let open_one = |at: Option<&OwnedFd>, name: &[u8], flags| {
        let at = at.map_or(root, |fd| fd.as_fd());
        let fd = openat(at, name, flags, mode).map_err(|errno| tell_link(at, name, errno))?;
        match mounts {
            Mounts::Refused if fstat(&fd)?.st_dev != device => Err(Errno::XDEV),
            Mounts::Refused | Mounts::Crossed => Ok(fd),
        }
    };
    let step = DIRECTORY_HANDLE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut components = path.split(|&b| b == b'/');
    let last = components.next_back().unwrap_or_default();
    let mut parent = None;
    for component in components {
        parent = Some(open_one(parent.as_ref(), component, step)?);
    }
    open_one(parent.as_ref(), last, flags)
}

/// `O_DIRECTORY` hides behind `ENOTDIR` that `O_NOFOLLOW` met a link.
fn tell_link(at: BorrowedFd<'_>, name: &[u8], errno: Errno) -> Errno {
    let is_link = || {
        statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    };
    if errno == Errno::NOTDIR && is_link() { Errno::LOOP } else { errno }
}
