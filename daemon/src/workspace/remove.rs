//! Removes a directory that a run has written, whatever the run has put there.
//!
//! Directories without permissions, names of any bytes and any depth are no obstacle, for an
//! ordinary user either. Never follows a link and never leaves the file system: a descriptor per
//! level, and what lies deeper than [`DEPTH_MAX`] is moved up first.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, chmod, fchmod, fstat, open, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use thiserror::Error;

/// How many levels are open at a time; the limit on descriptors is often 1024 in all.
const DEPTH_MAX: usize = 64;

/// How many names of a directory are held in memory at a time.
const BATCH: usize = 4096;

/// What its owner needs to empty a directory.
const EMPTYING: Mode = Mode::RWXU;

/// A directory cannot be removed.
#[derive(Debug, Error)]
#[error("cannot remove {}", directory.display())]
pub struct RemoveError {
    /// The directory.
    pub directory: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

/// Removes `directory` and everything in it; one that does not exist is fine.
///
/// # Errors
///
/// When something cannot be removed; what was removed until then stays removed.
pub fn remove(directory: &Path) -> Result<(), RemoveError> {
    remove_directory(directory)
        .map_err(|source| RemoveError { directory: directory.to_owned(), source })
}

fn remove_directory(directory: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match open(parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let name = CString::new(name.as_encoded_bytes()).map_err(|_| Errno::INVAL)?;
    match open_for_emptying(&parent, &name) {
        Ok(top) => Removal::new(&top)?.empty(&top, 0)?,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    Ok(unlinkat(&parent, &name, AtFlags::REMOVEDIR)?)
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    device: u64,
    /// Names the next directory that is moved to the top.
    moved: u64,
}

impl<'a> Removal<'a> {
    fn new(top: &'a OwnedFd) -> io::Result<Self> {
        use std::os::fd::AsFd as _;
        Ok(Self { top: top.as_fd(), device: fstat(top)?.st_dev, moved: 0 })
    }

    /// Empties a directory, the top of what is moved there meanwhile, too.
    fn empty(&mut self, directory: &OwnedFd, depth: usize) -> io::Result<()> {
        loop {
            let batch = some_entries(directory)?;
            if batch.is_empty() {
                return Ok(());
            }
            for (name, kind) in batch {
                self.entry(directory, &name, kind, depth)?;
            }
        }
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &CStr,
        kind: FileType,
        depth: usize,
    ) -> io::Result<()> {
        if !matches!(kind, FileType::Directory | FileType::Unknown) {
            return Ok(unlinkat(directory, name, AtFlags::empty())?);
        }
        let child = match open_for_emptying(directory, name) {
            // No directory after all, where the file system does not tell kinds.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Ok(unlinkat(directory, name, AtFlags::empty())?);
            }
            opened => opened?,
        };
        if fstat(&child)?.st_dev != self.device {
            return Err(io::Error::other("something is mounted in the directory to remove"));
        }
        if depth < DEPTH_MAX {
            self.empty(&child, depth + 1)?;
            return Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?);
        }
        self.move_up(directory, name)
    }

    /// Moves a deep directory to the top under a name that is free there.
    fn move_up(&mut self, directory: &OwnedFd, name: &CStr) -> io::Result<()> {
        loop {
            self.moved += 1;
            let up = format!(".removed-{}", self.moved);
            // An empty directory of that name is replaced, which is fine; anything else is not.
            match renameat(directory, name, self.top, up.as_str()) {
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                other => return Ok(other?),
            }
        }
    }
}

/// The first entries of a directory; none if it is empty.
fn some_entries(directory: &OwnedFd) -> io::Result<Vec<(CString, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push((entry.file_name().to_owned(), entry.file_type()));
            if entries.len() == BATCH {
                break;
            }
        }
    }
    Ok(entries)
}

/// Opens a directory, with the permissions that it takes to empty it.
fn open_for_emptying(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match openat(parent, name, flags | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let handle = openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
            // By descriptor, so that nothing put in its place meanwhile is changed instead.
            chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), EMPTYING)?;
            openat(parent, name, flags | OFlags::RDONLY, Mode::empty())?
        }
        opened => opened?,
    };
    if !Mode::from_raw_mode(fstat(&opened)?.st_mode).contains(EMPTYING) {
        fchmod(&opened, EMPTYING)?;
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{CWD, mkdirat};

    use super::*;

    #[test]
    fn what_does_not_exist_is_removed_already() {
        let top = tempfile::tempdir().expect("directory");
        remove(&top.path().join("nothing")).expect("removed");
        remove(&top.path().join("nothing/beneath")).expect("removed");
    }

    #[test]
    fn closed_directories_odd_names_and_links_go_and_their_targets_stay() {
        let top = tempfile::tempdir().expect("directory");
        let canary = top.path().join("canary");
        fs::create_dir(&canary).expect("canary");
        fs::write(canary.join("file"), "alive").expect("canary");
        let run = top.path().join("run");
        fs::create_dir_all(run.join("closed/inner")).expect("directories");
        fs::write(run.join("closed/inner/file"), "").expect("file");
        fs::write(run.join(std::ffi::OsStr::from_bytes(b"\xff\x1b[31m\n")), "").expect("file");
        symlink(&canary, run.join("closed/link")).expect("link");
        symlink(&canary, run.join(".removed-1")).expect("link");
        for closed in ["closed/inner", "closed"] {
            fs::set_permissions(run.join(closed), fs::Permissions::from_mode(0o000))
                .expect("chmod");
        }
        remove(&run).expect("removed");
        assert!(!run.exists());
        assert_eq!(fs::read(canary.join("file")).expect("canary"), b"alive");
    }

    #[test]
    fn no_depth_is_too_deep() {
        // In memory where there is such a place: a disk takes its time over so many directories.
        let top =
            tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("directory");
        let run = top.path().join("run");
        fs::create_dir(&run).expect("directory");
        let mut at = open(&run, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).expect("open");
        for _ in 0..10_000 {
            mkdirat(&at, "d", Mode::RWXU).expect("mkdir");
            at = openat(&at, "d", OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).expect("open");
        }
        drop(at);
        remove(&run).expect("removed");
        assert!(openat(CWD, &run, OFlags::RDONLY, Mode::empty()).is_err());
    }
}
