//! Changes the owner of everything beneath a directory that a run may have written: descriptor by
//! descriptor, through no link, at any depth. Works in the namespace of `subordinate`, where modes
//! are no obstacle.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, chownat, fstat,
    openat, openat2,
};
use rustix::io::Errno;

use super::ids::SubordinateIds;
use super::ownership::Given;

/// The caller's user, in the namespace.
pub(super) const CALLER: u32 = 0;

/// What tells one file from another.
type Identity = (u64, u64);

pub(super) struct Walk<'a> {
    ids: &'a SubordinateIds,
    owner: u32,
    given: Given,
    /// Files of the caller's of several names: how many were not met yet. One with a name that is
    /// never met is also somewhere else, where it is not the run's.
    linked: HashMap<Identity, u64>,
}

/// A directory on the way to the one that is open.
struct Level {
    identity: Identity,
    /// Directories in it that are still to be entered.
    to_come: Vec<CString>,
}

impl<'a> Walk<'a> {
    /// Everything goes to `owner`, as the namespace counts.
    pub(super) fn new(ids: &'a SubordinateIds, owner: u32) -> Self {
        Self { ids, owner, given: Given::default(), linked: HashMap::new() }
    }

    pub(super) fn given(self) -> Given {
        let linked = u64::try_from(self.linked.len()).unwrap_or(u64::MAX);
        Given { left: self.given.left + linked, ..self.given }
    }

    pub(super) fn directory(&mut self, path: &Path) -> io::Result<()> {
        let top = match openat(CWD, path, directory(), Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        // Its owner tells whether all is done.
        if self.owner != CALLER {
            self.change(&top)?;
        }
        self.beneath(top.try_clone()?)?;
        if self.owner == CALLER {
            self.change(&top)?;
        }
        Ok(())
    }

    /// Holds one directory open at a time, so that no depth is too deep; the way back is checked.
    fn beneath(&mut self, top: OwnedFd) -> io::Result<()> {
        let mut levels = vec![self.read(&top)?];
        let mut here = top;
        while let Some(level) = levels.last_mut() {
            if let Some(name) = level.to_come.pop() {
                match openat2(&here, &name, directory(), Mode::empty(), beneath()) {
                    Ok(child) => {
                        levels.push(self.read(&child)?);
                        here = child;
                    }
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            levels.pop();
            if let Some(parent) = levels.last() {
                here = openat(&here, "..", directory(), Mode::empty())?;
                if identity(&fstat(&here)?) != parent.identity {
                    return Err(io::Error::other("a directory was moved meanwhile"));
                }
            }
        }
        Ok(())
    }

    /// Changes the owners of what is in a directory.
    fn read(&mut self, directory: &OwnedFd) -> io::Result<Level> {
        let mut to_come = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") && self.entry(directory, name)? {
                to_come.push(name.to_owned());
            }
        }
        Ok(Level { identity: identity(&fstat(directory)?), to_come })
    }

    /// Changes the owner of one thing; tells whether it is a directory to be entered.
    fn entry(&mut self, directory: &OwnedFd, name: &CStr) -> io::Result<bool> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match openat2(directory, name, flags, Mode::empty(), beneath()) {
            // Gone meanwhile: of a cache, another run may be using it.
            Err(Errno::NOENT) => return Ok(false),
            Err(Errno::XDEV) => {
                self.given.left += 1;
                return Ok(false);
            }
            opened => opened?,
        };
        let stat = fstat(&entry)?;
        let is_ours = stat.st_uid == CALLER || self.ids.contains(stat.st_uid);
        if !is_ours {
            self.given.left += 1;
            return Ok(false);
        }
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let is_done = (stat.st_uid, stat.st_gid) == (self.owner, self.owner);
        if !is_done && (is_directory || self.has_all_its_names_here(&stat)) {
            self.change(&entry)?;
        }
        Ok(is_directory)
    }

    /// Whether a file may be changed: one of the caller's only once each of its names was met.
    fn has_all_its_names_here(&mut self, stat: &Stat) -> bool {
        if stat.st_uid != CALLER || stat.st_nlink <= 1 {
            return true;
        }
        let names = wide(stat.st_nlink);
        let missing = self.linked.entry(identity(stat)).or_insert(names);
        *missing = missing.saturating_sub(1);
        let is_last = *missing == 0;
        if is_last {
            self.linked.remove(&identity(stat));
        }
        is_last
    }

    fn change(&mut self, file: &OwnedFd) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.owner), Gid::from_raw(self.owner));
        chownat(file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        self.given.changed += 1;
        Ok(())
    }
}

/// A number whose type is the architecture's.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH
        | ResolveFlags::NO_XDEV
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
}
