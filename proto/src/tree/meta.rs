//! What the file system says about one path, in our own terms.

use rustix::fs::{FileType, Stat};

use crate::manifest::{MODE_MASK, Timestamp};

/// What the file system says about one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: MetaKind,
    /// All twelve permission bits, setuid, setgid and sticky included.
    pub mode: u32,
    /// The size in bytes.
    pub size: u64,
    /// When the content was last modified.
    pub mtime: Timestamp,
    /// When content or attributes last changed.
    pub ctime: Timestamp,
    /// The inode's number.
    pub inode: u64,
    /// The device that the inode is on.
    pub device: u64,
    /// How many names the inode has.
    pub links: u64,
    /// The owning user.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A Unix socket.
    Socket,
    /// A named pipe.
    Fifo,
    /// A block or character device.
    Device,
}

impl Meta {
    pub(super) fn from_stat(stat: &Stat) -> Self {
        Self {
            kind: MetaKind::from_file_type(FileType::from_raw_mode(stat.st_mode)),
            mode: narrow(stat.st_mode) & 0o7777,
            size: widen(stat.st_size),
            mtime: timestamp(stat.st_mtime, stat.st_mtime_nsec),
            ctime: timestamp(stat.st_ctime, stat.st_ctime_nsec),
            inode: widen(stat.st_ino),
            device: widen(stat.st_dev),
            links: widen(stat.st_nlink),
            uid: stat.st_uid,
            gid: stat.st_gid,
        }
    }

    /// The permission bits that are carried.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        self.mode & MODE_MASK
    }
}

impl MetaKind {
    pub(super) fn from_file_type(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Socket => Self::Socket,
            FileType::Fifo => Self::Fifo,
            // Whatever a system has besides cannot be carried either.
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Self::Device,
        }
    }
}

fn timestamp(secs: impl TryInto<i64>, nanos: impl TryInto<u32>) -> Timestamp {
    Timestamp {
        secs: secs.try_into().unwrap_or_default(),
        nanos: nanos.try_into().unwrap_or_default(),
    }
}

/// The widths of these fields differ between systems.
fn widen(value: impl TryInto<u64>) -> u64 {
    value.try_into().unwrap_or_default()
}

fn narrow(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or_default()
}
