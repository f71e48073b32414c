//! Whether what a run writes can have a hard limit, and in words why not.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use handoff_sandbox::{Layer, LayerName, LayerState, Quotas};

/// Why a run's disk use is watched only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoQuota {
    /// Its supervisor is not root on the host.
    NotRoot,
    /// Its files are on another file system than btrfs.
    NotBtrfs,
    /// The file system does not count.
    Off,
    /// The file system says that its counts may be wrong.
    Inconsistent,
    /// Its directory is no subvolume of its own.
    NoSubvolume,
    /// It may write where others write, too.
    Caches,
    /// Something that the system says.
    System(String),
}

/// Looks whether runs in a state directory can have quota groups.
///
/// # Errors
///
/// Fails with the reason if they cannot.
pub(super) fn look(directory: impl std::os::fd::AsFd) -> Result<(), NoQuota> {
    match Quotas::of(directory)? {
        Quotas::NotBtrfs => Err(NoQuota::NotBtrfs),
        Quotas::Off => Err(NoQuota::Off),
        Quotas::Inconsistent => Err(NoQuota::Inconsistent),
        Quotas::On => Ok(()),
    }
}

/// Who starts the supervisors of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// The daemon itself.
    Daemon,
    /// A launcher, which is root.
    Launcher,
}

/// What keeps any run of the daemon with this state directory from filling the disk.
#[must_use]
pub fn disk_layer(state: &Path, starter: Starter) -> Layer {
    match find(state, starter) {
        Ok(()) => hard(),
        Err(why) => watched(&why, state),
    }
}

fn find(state: &Path, starter: Starter) -> Result<(), NoQuota> {
    let directory = File::open(state)?;
    let is_root = rustix::process::geteuid().is_root();
    if starter == Starter::Daemon && !is_root {
        return Err(NoQuota::NotRoot);
    }
    look(&directory)?;
    // A launcher has all rights of root; root in a container may not have this one.
    if starter == Starter::Daemon && !Quotas::may_limit(&directory)? {
        return Err(NoQuota::NotRoot);
    }
    Ok(())
}

/// The layer where a quota group bounds a run.
pub(super) fn hard() -> Layer {
    let detail = "hard: a btrfs quota group for each run".to_owned();
    Layer { name: LayerName::Disk, state: LayerState::InForce, detail, fix: None }
}

/// The layer where a run is watched, with the reason and what to do about it.
pub(super) fn watched(why: &NoQuota, state: &Path) -> Layer {
    let detail = format!("watched, every second or as seldom as that costs little; {why}");
    let fix = why.fix(state);
    Layer { name: LayerName::Disk, state: LayerState::Partial, detail, fix: Some(fix) }
}

impl NoQuota {
    fn fix(&self, state: &Path) -> String {
        let state = state.display();
        match self {
            Self::NotRoot => format!(
                "for a hard limit, run the daemon as root or with a launcher, with {state} on btrfs"
            ),
            Self::NotBtrfs => format!(
                "for a hard limit, put {state} on btrfs and enable quotas there: \
                 `btrfs quota enable {state}`"
            ),
            Self::Off => format!("for a hard limit, `btrfs quota enable {state}`"),
            Self::Inconsistent => format!("`btrfs quota rescan -w {state}`"),
            Self::NoSubvolume | Self::Caches | Self::System(_) => {
                "nothing: runs go on, and are watched".to_owned()
            }
        }
    }
}

impl fmt::Display for NoQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRoot => "no quota group: the supervisor is not root on the host",
            Self::NotBtrfs => "no quota group: not on btrfs",
            Self::Off => "no quota group: quotas of btrfs are off",
            Self::Inconsistent => "no quota group: btrfs says that its counts may be wrong",
            Self::NoSubvolume => "no quota group: made when there were none",
            Self::Caches => "caches are in no quota group",
            Self::System(error) => return write!(f, "no quota group: {error}"),
        })
    }
}

impl From<io::Error> for NoQuota {
    fn from(error: io::Error) -> Self {
        Self::System(error.to_string())
    }
}
