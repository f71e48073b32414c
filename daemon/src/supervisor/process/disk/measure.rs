//! How much lies in some directories on the disk: allocated blocks and inodes, as the kernel counts
//! them. Follows no link, leaves no file system and believes no size that a file claims.

use std::collections::HashSet;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, openat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What a block of `st_blocks` is, on every file system.
const BLOCK_BYTES: u64 = 512;

/// Directories that are held open at a time. One needs to be held only while it has another
/// directory to come, so nobody needs as many: a path with so many components is of no use.
const HELD_MAX: usize = 400;

/// Room for about a thousand names from the kernel.
const NAMES_BYTES: usize = 32 * 1024;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Allocated bytes.
    pub(super) bytes: u64,
    /// Inodes, each once.
    pub(super) files: u64,
    /// Directories that we may not look into.
    pub(super) closed: u64,
    /// There is more, nested so that it could not be measured.
    pub(super) too_deep: bool,
}

impl Measured {
    /// Both, which have nothing in common.
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            files: self.files + other.files,
            closed: self.closed + other.closed,
            too_deep: self.too_deep || other.too_deep,
        }
    }
}

/// Measures these directories, or what else they are, until it is done or `ended` is set.
pub(super) fn measure(roots: &[PathBuf], ended: &AtomicBool) -> Measured {
    let mut walk = Walk { found: Measured::default(), linked: HashSet::new(), ended };
    for root in roots {
        walk.root(root);
    }
    walk.found
}

struct Walk<'a> {
    found: Measured,
    /// Files of several names that were seen: device and inode.
    linked: HashSet<(u64, u64)>,
    ended: &'a AtomicBool,
}

/// A directory that has been read.
struct Held {
    directory: OwnedFd,
    /// Directories in it that are still to be read.
    to_come: Vec<CString>,
}

impl Walk<'_> {
    fn root(&mut self, root: &Path) {
        let Ok(stat) = statat(CWD, root, AtFlags::SYMLINK_NOFOLLOW) else { return };
        self.count(&stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && let Some(directory) = self.opened(openat(CWD, root, directory(), Mode::empty()))
        {
            self.beneath(directory, stat.st_dev);
        }
    }

    fn beneath(&mut self, top: OwnedFd, device: u64) {
        let mut held = vec![self.read(top, device)];
        while let Some(last) = held.last_mut() {
            let Some(name) = last.to_come.pop() else {
                held.pop();
                continue;
            };
            let opened = openat(&last.directory, &name, directory(), Mode::empty());
            if last.to_come.is_empty() {
                held.pop();
            }
            if let Some(directory) = self.opened(opened) {
                if held.len() == HELD_MAX {
                    self.found.too_deep = true;
                    return;
                }
                held.push(self.read(directory, device));
            }
        }
    }

    fn opened(&mut self, opened: Result<OwnedFd, Errno>) -> Option<OwnedFd> {
        match opened {
            Ok(directory) => Some(directory),
            Err(Errno::ACCESS | Errno::PERM) => {
                self.found.closed += 1;
                None
            }
            // Moved or removed meanwhile: where it is now, it is counted the next time.
            Err(_gone) => None,
        }
    }

    /// Counts what is in a directory.
    fn read(&mut self, directory: OwnedFd, device: u64) -> Held {
        let mut to_come = Vec::new();
        let mut names = [MaybeUninit::uninit(); NAMES_BYTES];
        let mut entries = RawDir::new(directory.as_fd(), &mut names);
        while !self.ended.load(Ordering::Relaxed)
            && let Some(Ok(entry)) = entries.next()
        {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if stat.st_dev != device => {}
                Ok(stat) => {
                    self.count(&stat);
                    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                        to_come.push(name.to_owned());
                    }
                }
                // It can be listed, but not be looked into.
                Err(Errno::ACCESS) => {
                    self.found.closed += 1;
                    break;
                }
                Err(_gone) => {}
            }
        }
        Held { directory, to_come }
    }

    fn count(&mut self, stat: &Stat) {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_directory && stat.st_nlink > 1 && !self.linked.insert((stat.st_dev, stat.st_ino)) {
            return;
        }
        self.found.files += 1;
        self.found.bytes += bytes(stat);
    }
}

/// What a file takes of its disk.
pub(super) fn bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or_default() * BLOCK_BYTES
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::mkdirat;

    use super::*;

    const MIB: usize = 1 << 20;

    fn measured(directory: &Path) -> Measured {
        measure(&[directory.to_owned()], &AtomicBool::new(false))
    }

    fn directory_of_test() -> tempfile::TempDir {
        tempfile::tempdir().expect("temporary directory")
    }

    #[test]
    fn what_is_allocated_counts_and_what_is_claimed_does_not() {
        let directory = directory_of_test();
        let empty = measured(directory.path());
        assert_eq!(empty.files, 1);
        fs::create_dir(directory.path().join("sub")).expect("directory");
        fs::write(directory.path().join("sub/file"), vec![1; MIB]).expect("write");
        let sparse = File::create(directory.path().join("sparse")).expect("create");
        sparse.set_len(1 << 43).expect("8 TiB of nothing");
        let found = measured(directory.path());
        assert_eq!(found.files, 4);
        let grown = found.bytes - empty.bytes;
        assert!((MIB as u64..2 * MIB as u64).contains(&grown), "{grown}");
        assert!(!found.too_deep && found.closed == 0);
    }

    #[test]
    fn a_file_of_many_names_counts_once_and_a_link_leads_nowhere() {
        let (directory, outside) = (directory_of_test(), directory_of_test());
        fs::write(outside.path().join("file"), vec![1; MIB]).expect("write");
        fs::write(directory.path().join("0"), vec![1; MIB]).expect("write");
        let before = measured(directory.path());
        for name in 1..100 {
            fs::hard_link(directory.path().join("0"), directory.path().join(name.to_string()))
                .expect("link");
        }
        symlink(outside.path(), directory.path().join("link")).expect("link");
        symlink(directory.path(), directory.path().join("loop")).expect("link");
        let found = measured(directory.path());
        assert_eq!(found.files, before.files + 2);
        assert!(found.bytes < before.bytes + MIB as u64 / 2, "{found:?} after {before:?}");
    }

    #[test]
    fn no_depth_hides_anything() {
        let directory = directory_of_test();
        let mut at = openat(CWD, directory.path(), super::directory(), Mode::empty()).expect("top");
        for _ in 0..10_000 {
            mkdirat(&at, "d", Mode::RWXU).expect("mkdir");
            at = openat(&at, "d", super::directory(), Mode::empty()).expect("open");
        }
        let found = measured(directory.path());
        assert_eq!((found.files, found.too_deep), (10_001, false));
        crate::workspace::remove(directory.path()).expect("removed");

        // With a second directory at each level, what is deeper is not reached, which is said.
        let directory = directory_of_test();
        let mut at = openat(CWD, directory.path(), super::directory(), Mode::empty()).expect("top");
        for _ in 0..HELD_MAX + 10 {
            for name in ["d", "e"] {
                mkdirat(&at, name, Mode::RWXU).expect("mkdir");
            }
            at = openat(&at, "d", super::directory(), Mode::empty()).expect("open");
        }
        let reached = measured(directory.path());
        // The order in which they are read is the file system's.
        assert!(reached.too_deep || reached.files == 2 * (HELD_MAX as u64 + 10) + 1, "{reached:?}");
        crate::workspace::remove(directory.path()).expect("removed");
    }

    #[test]
    fn a_closed_directory_is_told() {
        let directory = directory_of_test();
        let closed = directory.path().join("closed");
        fs::create_dir(&closed).expect("directory");
        fs::write(closed.join("file"), "x").expect("write");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("mode");
        let found = measured(directory.path());
        // Nothing is closed to root.
        let expected = if rustix::process::geteuid().is_root() { (3, 0) } else { (2, 1) };
        assert_eq!((found.files, found.closed), expected);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("mode");
    }
}
