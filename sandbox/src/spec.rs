//! The policy: what one command may see, use and be. Plain data; nothing here acts.

mod bytes;
mod check;
mod target;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::isolation::LayerName;

pub(crate) use self::target::enclosing;

/// Describes one command and everything that it may see and use.
///
/// The caller is trusted: it has resolved the sources of [`Spec::mounts`] to real paths and owns
/// the decision that they may be shown. What lies *inside* the sources is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Names the run's control group: 1 to 64 letters, digits and dashes. No two runs on a machine
    /// may have the same name at the same time: the later one would end the earlier one.
    pub name: String,
    /// The command and its arguments, as bytes.
    #[serde(with = "bytes::list")]
    pub argv: Vec<OsString>,
    /// The whole environment of the command; nothing is inherited.
    #[serde(with = "bytes::pairs")]
    pub env: Vec<(OsString, OsString)>,
    /// The directory that the command starts in, as the command sees it.
    #[serde(with = "bytes::path")]
    pub cwd: PathBuf,
    /// Who the command believes to be.
    pub account: Account,
    /// The uid and gid of the run on the host. Required, and never 0, when the caller is root;
    /// otherwise absent, the caller's own, or one of the caller's subordinate ids (`/etc/subuid`
    /// and `/etc/subgid`), to whom then all that the run may write has to belong.
    pub host_uid: Option<u32>,
    /// The jail's host name.
    pub hostname: String,
    /// What of the host is shown, beside the read-only system directories.
    pub mounts: Vec<Mount>,
    /// Directories that are put together from layers, beside the mounts. Only for callers that
    /// are root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlays: Vec<Overlay>,
    /// Which network the command has.
    pub network: Network,
    /// How much the command may use.
    pub limits: Limits,
    /// The size of the command's terminal, which controls it and is all of its standard streams;
    /// without one, it has the streams that the caller gives it, and no terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// The file mode creation mask.
    pub umask: u32,
    /// Layers that are optional otherwise; the run is refused if one of them is not in force.
    pub require: Vec<LayerName>,
}

/// Names the account inside the jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user id inside, never 0.
    pub uid: u32,
    /// The group id inside, never 0.
    pub gid: u32,
    /// The user's name.
    pub user: String,
    /// The home directory; empty and of limited size unless a mount covers it.
    #[serde(with = "bytes::path")]
    pub home: PathBuf,
}

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// From top to bottom.
    pub rows: u16,
    /// From left to right.
    pub columns: u16,
}

/// Shows one directory or file of the host inside the jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The real path on the host; a symlink anywhere in it is refused.
    #[serde(with = "bytes::path")]
    pub source: PathBuf,
    /// Where it appears inside. Parents are made; an existing symlink in the way is refused.
    #[serde(with = "bytes::path")]
    pub target: PathBuf,
    /// Whether the command may change it.
    pub access: Access,
}

/// Shows one directory inside the jail that is made of layers: what the upper one has, else what
/// the nearest lower one has. Renaming directories and hard links work in it as in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// The real paths of the lower layers, nearest first; 1 to 64. Nothing may change them while
    /// they are shown. What belongs to root in them appears as the run's own.
    #[serde(with = "bytes::paths")]
    pub lowers: Vec<PathBuf>,
    /// The real path of the directory with the changes on top, which belong to the run: a
    /// directory called `upper`, and one called `work` that nothing else uses.
    #[serde(with = "bytes::path")]
    pub changes: PathBuf,
    /// Where it appears inside, as for a [`Mount`].
    #[serde(with = "bytes::path")]
    pub target: PathBuf,
    /// Whether the command may change it. Read-only overlays leave `work` alone.
    pub access: Access,
}

impl Overlay {
    /// The directory of changes in [`Overlay::changes`].
    pub const UPPER: &str = "upper";

    /// The kernel's own directory in [`Overlay::changes`].
    pub const WORK: &str = "work";
}

/// Tells whether a mount may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Reading and executing only.
    #[default]
    ReadOnly,
    /// The same, and what belongs to the caller's user appears as the run's own. Where a run has a
    /// uid of its own, it could not read the private files of, say, the user's toolchains. A caller
    /// that is not root cannot map owners: a run that is one of its subordinate ids sees those that
    /// there are.
    ReadOnlyAsOwner,
    /// Everything that the file permissions allow.
    ReadWrite,
    /// Reading and executing only, and what belongs to this user appears as the run's own. Only
    /// for callers that are root.
    ReadOnlyOf(HostUser),
    /// Everything that the file permissions allow, where what belongs to this user appears as the
    /// run's own, and what the run makes belongs to this user. Only for callers that are root.
    ReadWriteOf(HostUser),
}

impl Access {
    /// Tells whether anything can be written.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        match self {
            Self::ReadOnly | Self::ReadOnlyAsOwner | Self::ReadOnlyOf(_) => false,
            Self::ReadWrite | Self::ReadWriteOf(_) => true,
        }
    }
}

/// A user of the host, by the numbers that its files bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostUser {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

impl HostUser {
    /// The user to whom the host belongs.
    pub(crate) const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// Tells which network the command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A network of its own with nothing but loopback.
    None,
    /// The same, and on it the [`Doors`](crate::Doors), which the caller serves from outside.
    Fenced,
    /// The host's network, with everything that listens on it.
    Host,
}

/// Bounds what the command and all its children may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of the whole run; where there is no control group, of each process.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Open descriptors of one process.
    pub open_files: u64,
    /// Size of one file, if limited.
    pub file_size_bytes: Option<u64>,
    /// Size of `/tmp` (and of the home directory, where no mount covers it).
    pub tmp_bytes: u64,
    /// Size of `/dev/shm`.
    pub shm_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            memory_bytes: 8 * 1024 * MIB,
            processes: 4096,
            open_files: 65_536,
            file_size_bytes: None,
            tmp_bytes: 2 * 1024 * MIB,
            shm_bytes: 256 * MIB,
        }
    }
}
