//! In what steps file systems keep times.

use std::os::fd::AsFd;
use std::time::Duration;

use super::Stamp;

/// The coarsest step in use (FAT). Also allows for the clock of another machine, which network file
/// systems keep times by.
pub(in crate::capture) const COARSE: Duration = Duration::from_secs(2);

/// The step of a local file system: the kernel's own tick, 10 ms at its slowest (`CONFIG_HZ` of
/// 100), and as much again.
#[cfg(target_os = "linux")]
const FINE: Duration = Duration::from_millis(20);

/// The numbers of local file systems that keep nanoseconds, or else whole seconds, and that stamp a
/// directory with whatever comes, goes or is renamed in it: ext2 to ext4,
/// Btrfs, XFS, tmpfs, F2FS, ZFS, bcachefs (`statfs(2)` and `linux/magic.h`; ZFS has its own in
/// `sys/fs/zfs.h`).
#[cfg(target_os = "linux")]
const TRUSTED: [i64; 7] =
    [0xef53, 0x9123_683e, 0x5846_5342, 0x0102_1994, 0xf2f5_2010, 0x2fc1_2fc1, 0xca45_1a4e];

/// How long files must have been left alone to be remembered, for each device that was met.
#[derive(Debug, Default)]
pub(in crate::capture) struct Margins {
    known: Vec<(u64, Duration)>,
}

impl Margins {
    /// The margin for a file, which has this stamp and is on this device.
    pub(in crate::capture) fn of(
        &mut self,
        file: impl AsFd,
        device: u64,
        stamp: &Stamp,
    ) -> Duration {
        // ext2, ext3 and ext4 with small inodes keep whole seconds.
        if stamp.mtime.nanos == 0 || stamp.ctime.nanos == 0 {
            return COARSE;
        }
        if let Some((_, margin)) = self.known.iter().find(|(known, _)| *known == device) {
            return *margin;
        }
        let margin = margin(file);
        self.known.push((device, margin));
        margin
    }
}

/// The device of a directory, if the times of all directories on it tell of what comes, goes or is
/// renamed in them. FAT, for one, does not see to that, and what network file systems say may be
/// old.
#[cfg(target_os = "linux")]
pub(in crate::capture) fn telling_device(directory: impl AsFd) -> Option<u64> {
    if !is_trusted(&directory) {
        return None;
    }
    Some(rustix::fs::fstat(directory).ok()?.st_dev)
}

#[cfg(not(target_os = "linux"))]
pub(in crate::capture) fn telling_device(_: impl AsFd) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn is_trusted(file: impl AsFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|found| {
        TRUSTED.iter().any(|known| i128::from(*known) == i128::from(found.f_type))
    })
}

#[cfg(target_os = "linux")]
fn margin(file: impl AsFd) -> Duration {
    if is_trusted(file) { FINE } else { COARSE }
}

#[cfg(not(target_os = "linux"))]
fn margin(_: impl AsFd) -> Duration {
    COARSE
}
