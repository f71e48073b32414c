//! Materialises a tree from its entries.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown,
    futimens, mkdirat, symlinkat, utimensat,
};

use crate::manifest::{MODE_MASK, Timestamp};
use crate::path::TreePath;

use super::beneath::{self, Mounts};
use super::error::{AtPath as _, FileError};

/// Whom written files are given to; only root may say that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Writes the entries of a tree beneath a directory that was empty.
///
/// Directories come first, each after its parent; then files, in any order and from several
/// threads if that helps; symbolic links are kept until [`finish`](Self::finish), so that none is
/// there while anything else is written. Nothing that exists is ever opened or replaced. Modes are
/// exact whatever the umask; times have nanoseconds.
#[derive(Debug)]
pub struct Writer {
    root: OwnedFd,
    owner: Option<Owner>,
    directories: Vec<DirectoryMeta>,
    symlinks: Vec<Symlink>,
}

/// What a directory gets when everything in it is written; `None` is the root.
#[derive(Debug)]
struct DirectoryMeta {
    path: Option<TreePath>,
    mode: u32,
    mtime: Timestamp,
}

#[derive(Debug)]
struct Symlink {
    path: TreePath,
    target: Vec<u8>,
    mtime: Timestamp,
}

impl Writer {
    /// Writes beneath a directory that is open already.
    #[must_use]
    pub fn new(root: OwnedFd, owner: Option<Owner>) -> Self {
        Self { root, owner, directories: Vec::new(), symlinks: Vec::new() }
    }

    /// Writes beneath the directory at a trusted path.
    ///
    /// # Errors
    ///
    /// Where there is no such directory or it cannot be opened.
    pub fn open(root: &Path, owner: Option<Owner>) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty()).at("open", None)?;
        Ok(Self::new(root, owner))
    }

    /// Creates a directory, writable for now; mode and time are set by [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// Where the path exists, its parent does not or is a link, or the system refuses.
    pub fn directory(
        &mut self,
        path: &TreePath,
        mode: u32,
        mtime: Timestamp,
    ) -> Result<(), FileError> {
        let action = "create the directory";
        let parent = beneath::open_parent(self.root.as_fd(), path, Mounts::Refused)
            .at(action, Some(path))?;
        mkdirat(parent, path.file_name(), Mode::RWXU).at(action, Some(path))?;
        self.directories.push(DirectoryMeta { path: Some(path.clone()), mode, mtime });
        Ok(())
    }

    /// Sets mode and time of the root directory when the tree is finished.
    pub fn root_directory(&mut self, mode: u32, mtime: Timestamp) {
        self.directories.push(DirectoryMeta { path: None, mode, mtime });
    }

    /// Creates a file with all that `content` gives, and returns the size in bytes.
    ///
    /// # Errors
    ///
    /// Where the path exists, its parent does not or is a link, the system refuses, or reading
    /// `content` fails; the file then stays behind, incomplete.
    pub fn file(
        &self,
        path: &TreePath,
        mode: u32,
        mtime: Timestamp,
        content: &mut dyn Read,
    ) -> Result<u64, FileError> {
        self.file_filled(path, mode, mtime, |file| copy_content(content, file, path))
    }

    /// Creates a file that `fill` gives its content, and returns the size in bytes, as `fill` tells
    /// it.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file), where `fill` is what reads.
    pub fn file_filled(
        &self,
        path: &TreePath,
        mode: u32,
        mtime: Timestamp,
        fill: impl FnOnce(&File) -> Result<u64, FileError>,
    ) -> Result<u64, FileError> {
        let file = self.create(path)?;
        let size = fill(&file)?;
        finish_file(&file, path, mode, mtime, self.owner)?;
        Ok(size)
    }

    /// Creates a file from the contents of its chunks in order, and returns the size in bytes.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn file_from_chunks<C: AsRef<[u8]>>(
        &self,
        path: &TreePath,
        mode: u32,
        mtime: Timestamp,
        chunks: impl IntoIterator<Item = io::Result<C>>,
    ) -> Result<u64, FileError> {
        self.file_filled(path, mode, mtime, |file| write_chunks(chunks, file, path))
    }

    /// Remembers a symbolic link, which [`finish`](Self::finish) creates.
    pub fn symlink(&mut self, path: &TreePath, target: &[u8], mtime: Timestamp) {
        self.symlinks.push(Symlink { path: path.clone(), target: target.to_vec(), mtime });
    }

    /// Creates the symbolic links, then gives directories their modes and times, deepest first.
    ///
    /// # Errors
    ///
    /// Where a link's path exists or its parent does not, or the system refuses.
    pub fn finish(mut self) -> Result<(), FileError> {
        let root = self.root.as_fd();
        for link in &self.symlinks {
            create_symlink(root, link, self.owner)?;
        }
        self.directories.sort_by(|a, b| b.path.cmp(&a.path));
        for directory in &self.directories {
            let path = directory.path.as_ref();
            let fd = beneath::open_directory(root, path, Mounts::Refused).at("open", path)?;
            give(fd.as_fd(), directory.mode, directory.mtime, self.owner)
                .at("set the attributes of", path)?;
        }
        Ok(())
    }

    fn create(&self, path: &TreePath) -> Result<File, FileError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::RUSR | Mode::WUSR;
        beneath::open(self.root.as_fd(), path, flags, mode, Mounts::Refused)
            .map(File::from)
            .at("create", Some(path))
    }
}

fn create_symlink(
    root: BorrowedFd<'_>,
    link: &Symlink,
    owner: Option<Owner>,
) -> Result<(), FileError> {
    let action = "create the link";
    let path = &link.path;
    let parent = beneath::open_parent(root, path, Mounts::Refused).at(action, Some(path))?;
    symlinkat(&*link.target, &parent, path.file_name()).at(action, Some(path))?;
    finish_symlink(parent.as_fd(), path.file_name(), link.mtime, owner)
        .at("set the attributes of", Some(path))
}

/// Gives a link its owner and time; it has no mode of its own on Linux.
pub(super) fn finish_symlink(
    parent: BorrowedFd<'_>,
    name: &[u8],
    mtime: Timestamp,
    owner: Option<Owner>,
) -> rustix::io::Result<()> {
    if let Some(owner) = owner {
        let (uid, gid) = ids(owner);
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// Copies all of `content` into `file`.
pub(super) fn copy_content(
    content: &mut dyn Read,
    mut file: &File,
    path: &TreePath,
) -> Result<u64, FileError> {
    // Larger than the 8 KiB of io::copy: most files are one read and one write.
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(got) => {
                file.write_all(&buffer[..got]).map_err(|source| write_failed(path, source))?;
                size += got as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(content_failed(path, source)),
        }
    }
}

/// Writes chunks to where `file` is, one after the other, and returns their bytes; `path` is what
/// errors name.
///
/// # Errors
///
/// Where a chunk cannot be had, or the system refuses.
pub fn write_chunks<C: AsRef<[u8]>>(
    chunks: impl IntoIterator<Item = io::Result<C>>,
    mut file: &File,
    path: &TreePath,
) -> Result<u64, FileError> {
    let mut size = 0;
    for chunk in chunks {
        let chunk = chunk.map_err(|source| content_failed(path, source))?;
        let chunk = chunk.as_ref();
        file.write_all(chunk).map_err(|source| write_failed(path, source))?;
        size += chunk.len() as u64;
    }
    Ok(size)
}

/// Gives a written file its owner, mode and time.
pub(super) fn finish_file(
    file: &File,
    path: &TreePath,
    mode: u32,
    mtime: Timestamp,
    owner: Option<Owner>,
) -> Result<(), FileError> {
    give(file.as_fd(), mode, mtime, owner).at("set the attributes of", Some(path))
}

/// Owner first: giving a file away clears bits of its mode. Time last: everything else changes it.
pub(super) fn give(
    fd: BorrowedFd<'_>,
    mode: u32,
    mtime: Timestamp,
    owner: Option<Owner>,
) -> rustix::io::Result<()> {
    if let Some(owner) = owner {
        let (uid, gid) = ids(owner);
        fchown(fd, Some(uid), Some(gid))?;
    }
    fchmod(fd, permissions(mode))?;
    futimens(fd, &times(mtime))
}

/// The carried permission bits, in whatever width the system has them.
pub(super) fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate((mode & MODE_MASK) as _)
}

fn ids(owner: Owner) -> (Uid, Gid) {
    (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid))
}

/// Sets the modification time and leaves the access time alone.
pub(super) fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() },
    }
}

fn content_failed(path: &TreePath, source: io::Error) -> FileError {
    FileError::Content { path: path.to_string(), source }
}

fn write_failed(path: &TreePath, source: io::Error) -> FileError {
    FileError::Io { action: "write", path: path.to_string(), source }
}
