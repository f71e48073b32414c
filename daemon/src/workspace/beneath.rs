//! Makes directories and files beneath a directory that a run may have written: descriptor by
//! descriptor, never through a symbolic link.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use handoff_proto::path::TreePath;
use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, mkdirat, open, openat};
use rustix::io::Errno;

use super::owner::Owner;

/// The mode of directories made on the way.
const DIRECTORY_MODE: u32 = 0o755;

/// A directory and who owns what is made in it.
pub(super) struct Beneath {
    top: OwnedFd,
    owner: Owner,
}

impl Beneath {
    /// Opens a directory of the daemon's.
    pub(super) fn open(top: &Path, owner: Owner) -> io::Result<Self> {
        Ok(Self { top: open(top, directory_flags(), Mode::empty())?, owner })
    }

    /// Makes a directory and those above it, as far as they are missing.
    fn directory(&self, path: &TreePath) -> io::Result<OwnedFd> {
        let mut at = self.top.try_clone()?;
        for name in path.components() {
            at = self.child(&at, name)?;
        }
        Ok(at)
    }

    /// Makes a file, empty if it is new, and the directories above it.
    fn file(&self, path: &TreePath) -> io::Result<File> {
        let parent = match path.parent() {
            Some(parent) => self.directory(&parent)?,
            None => self.top.try_clone()?,
        };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&parent, path.file_name(), flags, Mode::from_raw_mode(0o644))?;
        self.own(&file)?;
        Ok(file.into())
    }

    /// Makes a file with this content.
    pub(super) fn write(&self, path: &TreePath, content: &[u8]) -> io::Result<()> {
        let mut file = self.file(path)?;
        file.set_len(0)?;
        file.write_all(content)
    }

    fn child(&self, parent: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
        let made = match mkdirat(parent, name, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let child = openat(parent, name, directory_flags(), Mode::empty())?;
        if made {
            self.own(&child)?;
        }
        Ok(child)
    }

    fn own(&self, file: &OwnedFd) -> io::Result<()> {
        if let Some(uid) = self.owner.of_new() {
            fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))?;
        }
        Ok(())
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> TreePath {
        text.parse().expect("path")
    }

    #[test]
    fn directories_and_files_are_made_once_and_kept() {
        let top = tempfile::tempdir().expect("directory");
        let beneath = Beneath::open(top.path(), Owner::Daemon).expect("open");
        beneath.write(&path("a/b/c"), b"long content").expect("write");
        beneath.write(&path("a/b/c"), b"short").expect("write again");
        beneath.file(&path("a/b/c")).expect("exists");
        beneath.directory(&path("a/b")).expect("exists");
        assert_eq!(std::fs::read(top.path().join("a/b/c")).expect("read"), b"short");
    }

    #[test]
    fn a_link_in_the_way_is_an_error_and_its_target_is_untouched() {
        let top = tempfile::tempdir().expect("directory");
        let outside = tempfile::tempdir().expect("directory");
        symlink(outside.path(), top.path().join("link")).expect("symlink");
        symlink(outside.path().join("file"), top.path().join("name")).expect("symlink");
        let beneath = Beneath::open(top.path(), Owner::Daemon).expect("open");
        beneath.directory(&path("link")).expect_err("a link");
        beneath.write(&path("link/x"), b"x").expect_err("a link");
        beneath.write(&path("name"), b"x").expect_err("a link");
        assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0);
    }
}
