//! Subvolumes of btrfs and their quota groups: what bounds the room of a directory hard. Knows
//! nothing of runs; whoever starts one says which directory it is.
//!
//! The quota group of a subvolume counts what can be reached from it, shared or not, metadata and
//! compressed bytes as they are on the disk included. Whoever writes past its limit gets `EDQUOT`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, fchmod, fstat, fstatfs, openat};
use rustix::io::Errno;

use crate::sys::{Transfer, btrfs};

/// `BTRFS_SUPER_MAGIC` in `linux/magic.h`.
const BTRFS: i128 = 0x9123_683e;

/// The inode number of each subvolume's root: `BTRFS_FIRST_FREE_OBJECTID`.
const ROOT_INODE: u64 = 256;

/// `BTRFS_QGROUP_LIMIT_MAX_RFER`: the limit is on all that can be reached, shared or not.
const LIMIT_REFERENCED: u64 = 1;

// Numbers of requests, and the words of their arguments, in `linux/btrfs.h`.
const SUBVOL_CREATE: u8 = 14;
const INO_LOOKUP: u8 = 18;
const FS_INFO: u8 = 31;
const QGROUP_CREATE: u8 = 42;
const QGROUP_LIMIT: u8 = 43;
const NAMED_WORDS: usize = 4096 / 8;
const FS_INFO_WORDS: usize = 1024 / 8;

/// Whether the file system of a directory counts what subvolumes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotas {
    /// It is not btrfs.
    NotBtrfs,
    /// It is btrfs and does not count.
    Off,
    /// It counts, but says itself that its counts may be wrong, as it does while it counts anew.
    Inconsistent,
    /// It counts.
    On,
}

impl Quotas {
    /// Tells whether the caller may set limits on the file system of a directory.
    ///
    /// # Errors
    ///
    /// Fails if the kernel gives another reason than who it is that asks.
    pub fn may_limit(directory: impl AsFd) -> io::Result<bool> {
        // Of level 2 and with a number that nobody takes: who may is told that there is no such
        // group, and nothing changes.
        const NONE: u64 = (2 << 48) | ((1 << 48) - 1);
        match btrfs(directory.as_fd(), QGROUP_LIMIT, Transfer::Writes, &mut [NONE, 0, 0, 0, 0, 0]) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
            Ok(()) => Ok(true),
        }
    }

    /// Looks at the file system of a directory. Anybody may.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not tell which file system it is.
    pub fn of(directory: impl AsFd) -> io::Result<Self> {
        if !is_btrfs(&directory)? {
            return Ok(Self::NotBtrfs);
        }
        let groups = groups(&directory)?;
        let flag = |name: &str| fs::read_to_string(groups.join(name));
        match (groups.is_dir(), flag("enabled"), flag("inconsistent")) {
            (false, ..) => Ok(Self::Off),
            (true, Ok(enabled), _) if enabled.trim() == "0" => Ok(Self::Off),
            (true, _, Ok(inconsistent)) if inconsistent.trim() == "0" => Ok(Self::On),
            (true, _, Ok(_)) => Ok(Self::Inconsistent),
            // Before Linux 6.1 it does not say.
            (true, _, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Self::On),
            (true, _, Err(error)) => Err(error),
        }
    }
}

/// A subvolume.
#[derive(Debug)]
pub struct Subvolume {
    /// What it is in, by which requests about its quota group are made: one that is made by the
    /// subvolume itself takes room of it, and has none once that is full.
    parent: OwnedFd,
    /// Also the number of its quota group, of level 0. The kernel gives none out twice.
    id: u64,
    /// Where the kernel shows its quota group.
    group: PathBuf,
}

impl Subvolume {
    /// Makes a new, empty one in a directory of btrfs, with this mode.
    ///
    /// # Errors
    ///
    /// Fails where a directory of that name could not be made either, with `ENAMETOOLONG` if the
    /// name does not fit into the request, and with `ENOTTY` if the file system is another one.
    pub fn create(parent: impl AsFd, name: &OsStr, mode: Mode) -> io::Result<()> {
        let mut argument = [0; NAMED_WORDS];
        // A descriptor that only snapshots need, then the name, which ends in a zero.
        let (_unused, place) = argument.split_at_mut(1);
        if name.len() >= size_of_val(place) {
            return Err(Errno::NAMETOOLONG.into());
        }
        for (word, bytes) in place.iter_mut().zip(name.as_bytes().chunks(size_of::<u64>())) {
            let mut padded = [0; size_of::<u64>()];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(padded);
        }
        btrfs(parent.as_fd(), SUBVOL_CREATE, Transfer::Reads, &mut argument)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fchmod(openat(&parent, name, flags, Mode::empty())?, mode)?)
    }

    /// Takes a directory for the subvolume whose root it is; none if it is no such thing.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not tell.
    pub fn of(directory: OwnedFd) -> io::Result<Option<Self>> {
        if !is_btrfs(&directory)? || fstat(&directory)?.st_ino != ROOT_INODE {
            return Ok(None);
        }
        // The subvolume of the descriptor is asked for by 0, and filled in.
        let mut argument = [0; NAMED_WORDS];
        argument[1] = ROOT_INODE;
        btrfs(directory.as_fd(), INO_LOOKUP, Transfer::Both, &mut argument)?;
        let id = argument[0];
        let group = groups(&directory)?.join(format!("0_{id}"));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat(&directory, "..", flags, Mode::empty())?;
        Ok(Some(Self { parent, id, group }))
    }

    /// Bounds what can be reached from it, in bytes on the disk.
    ///
    /// # Errors
    ///
    /// Fails with `EPERM` unless the caller is root on the host itself, and with `ENOTCONN` where
    /// the file system does not count.
    pub fn limit(&self, bytes: u64) -> io::Result<()> {
        let mut argument = [self.id, LIMIT_REFERENCED, bytes, 0, 0, 0];
        btrfs(self.parent.as_fd(), QGROUP_LIMIT, Transfer::Writes, &mut argument)
    }

    /// Takes the bound away. What is full cannot even be emptied by whoever has to change a mode for
    /// that.
    ///
    /// # Errors
    ///
    /// Fails as [`Subvolume::limit`] does.
    pub fn unlimit(&self) -> io::Result<()> {
        // The kernel's word for a limit that is cleared.
        self.limit(u64::MAX)
    }

    /// How much can be reached from it, with what is promised to content that is to be written. What
    /// is promised to metadata is left out: that is a multiple of what it will take.
    ///
    /// # Errors
    ///
    /// Fails where the file system does not count, or `/sys` is not there.
    pub fn used(&self) -> io::Result<u64> {
        ["referenced", "rsv_data"].iter().try_fold(0_u64, |sum, name| {
            let text = fs::read_to_string(self.group.join(name))?;
            let bytes: u64 = text.trim().parse().map_err(io::Error::other)?;
            Ok(sum.saturating_add(bytes))
        })
    }

    /// Removes its quota group, before the subvolume itself: nobody would find the group later.
    /// From about Linux 6.11 on the kernel does it by itself, once the subvolume has gone, and not
    /// before: that counts as done.
    ///
    /// # Errors
    ///
    /// Fails with `EPERM` as [`Subvolume::limit`] does.
    pub fn remove_group(&self) -> io::Result<()> {
        const REMOVE: u64 = 0;
        let removed =
            btrfs(self.parent.as_fd(), QGROUP_CREATE, Transfer::Reads, &mut [REMOVE, self.id]);
        let Err(error) = removed else { return Ok(()) };
        match Errno::from_io_error(&error) {
            Some(Errno::BUSY | Errno::NOENT | Errno::NOTCONN) => Ok(()),
            Some(_) | None => Err(error),
        }
    }
}

fn is_btrfs(file: impl AsFd) -> io::Result<bool> {
    // The field's type differs from one architecture to the other.
    Ok(i128::from(fstatfs(file)?.f_type) == BTRFS)
}

/// Where the kernel shows the quota groups of a file system while it counts.
fn groups(file: impl AsFd) -> io::Result<PathBuf> {
    let mut argument = [0; FS_INFO_WORDS];
    btrfs(file.as_fd(), FS_INFO, Transfer::Writes, &mut argument)?;
    // Two numbers, then the sixteen bytes of the file system's id.
    let id: Vec<u8> = argument[2..4].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let hex = |range: std::ops::Range<usize>| -> String {
        id[range].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let id = [hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16)].join("-");
    Ok(PathBuf::from("/sys/fs/btrfs").join(id).join("qgroups"))
}
