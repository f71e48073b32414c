//! Makes the places to mount on. A directory that an earlier run could write may hold symlinks, so
//! every step is taken from a descriptor, one name at a time, following nothing.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fstat, mkdirat, openat2,
};
use rustix::io::Errno;

use super::source::Kind;
use crate::report::{Refusal, Refuse as _, Step};

/// Whom the directories belong to that had to be made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    /// The stage itself, which the run cannot write.
    Stage,
    /// The run.
    Run(u32),
}

/// Opens the place for `target` below the stage, making what is missing.
pub(super) fn make(
    stage: BorrowedFd<'_>,
    target: &Path,
    kind: Kind,
    owner: Owner,
) -> Result<OwnedFd, Refusal> {
    let mut names: Vec<&OsStr> = target
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let last = names.pop().ok_or_else(|| Refusal::new(Step::Target, "the root is no target"))?;
    let mut here = stage.try_clone_to_owned().refuse(Step::Target, "hold the stage")?;
    let walk = Walk { target, owner };
    for name in names {
        here = walk.directory(here.as_fd(), name)?;
    }
    match kind {
        Kind::Directory => walk.directory(here.as_fd(), last),
        Kind::File => walk.file(here.as_fd(), last),
    }
}

struct Walk<'a> {
    target: &'a Path,
    owner: Owner,
}

impl Walk<'_> {
    fn directory(&self, here: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Refusal> {
        let open = || step(here, name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
        match open() {
            Ok(found) => Ok(found),
            Err(Errno::NOENT) => {
                let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
                mkdirat(here, name, mode).map_err(|errno| self.refuse(name, errno))?;
                let made = open().map_err(|errno| self.refuse(name, errno))?;
                self.hand_over(&made, name)?;
                Ok(made)
            }
            Err(errno) => Err(self.refuse(name, errno)),
        }
    }

    fn file(&self, here: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Refusal> {
        match step(here, name, OFlags::PATH, Mode::empty()) {
            Ok(found) => {
                let mode = fstat(&found).map_err(|errno| self.refuse(name, errno))?.st_mode;
                match FileType::from_raw_mode(mode) {
                    FileType::RegularFile | FileType::Socket => Ok(found),
                    _ => Err(self.refuse(name, Errno::EXIST)),
                }
            }
            Err(Errno::NOENT) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let made = step(here, name, flags, Mode::RUSR | Mode::WUSR)
                    .map_err(|errno| self.refuse(name, errno))?;
                self.hand_over(&made, name)?;
                Ok(made)
            }
            Err(errno) => Err(self.refuse(name, errno)),
        }
    }

    /// Gives something that was just made to the run, if it is to be the run's.
    fn hand_over(&self, made: &OwnedFd, name: &OsStr) -> Result<(), Refusal> {
        let Owner::Run(uid) = self.owner else {
            return Ok(());
        };
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
        if rustix::process::geteuid() == uid {
            return Ok(());
        }
        chownat(made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
            .map_err(|errno| self.refuse(name, errno))
    }

    fn refuse(&self, name: &OsStr, errno: Errno) -> Refusal {
        let (name, target) = (Path::new(name).display(), self.target.display());
        let what = match errno {
            Errno::LOOP => format!("{name} on the way to {target} is a symlink"),
            Errno::NOTDIR => format!("{name} on the way to {target} is no directory"),
            Errno::ROFS => format!("{name} on the way to {target} is missing in a read-only mount"),
            _ => format!("make {name} on the way to {target}"),
        };
        Refusal::because(Step::Target, what, &errno.into())
    }
}

/// Opens one name in a directory, whatever it is, but never through a symlink.
fn step(here: BorrowedFd<'_>, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(here, name, flags | OFlags::CLOEXEC, mode, resolve)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn attempt(root: &Path, target: &str, kind: Kind) -> Result<OwnedFd, Refusal> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let stage = rustix::fs::open(root, flags, Mode::empty()).expect("open the stage");
        make(stage.as_fd(), Path::new(target), kind, Owner::Stage)
    }

    #[test]
    fn missing_directories_and_files_are_made() {
        let root = tempfile::tempdir().expect("temporary directory");
        attempt(root.path(), "/home/a/src", Kind::Directory).expect("directory");
        attempt(root.path(), "/home/a/.config/x", Kind::File).expect("file");
        assert!(root.path().join("home/a/src").is_dir());
        assert!(root.path().join("home/a/.config/x").is_file());
        attempt(root.path(), "/home/a/src", Kind::Directory).expect("once more");
        attempt(root.path(), "/home/a/.config/x", Kind::File).expect("once more");
    }

    #[test]
    fn a_symlink_anywhere_on_the_way_is_refused_and_its_target_untouched() {
        let root = tempfile::tempdir().expect("temporary directory");
        let canary = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(root.path().join("home")).expect("mkdir");
        symlink(canary.path(), root.path().join("home/src")).expect("symlink");
        symlink(canary.path().join("x"), root.path().join("home/file")).expect("symlink");
        let cases = [
            ("/home/src/app", Kind::Directory),
            ("/home/src", Kind::Directory),
            ("/home/file", Kind::File),
            ("/home/src/file", Kind::File),
        ];
        for (target, kind) in cases {
            let refusal = attempt(root.path(), target, kind).expect_err(target);
            assert_eq!(refusal.step, Step::Target, "{refusal}");
            assert!(refusal.detail.contains("is a symlink"), "{refusal}");
        }
        assert_eq!(fs::read_dir(canary.path()).expect("canary").count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_refused() {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::write(root.path().join("home"), "").expect("write");
        let refusal = attempt(root.path(), "/home/a", Kind::Directory).expect_err("refused");
        assert_eq!(refusal.errno, Some(libc::ENOTDIR), "{refusal}");
    }
}
