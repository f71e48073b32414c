//! Who owns on the host what a run may write.

use std::num::NonZeroU32;

use handoff_proto::{run::Run, tree};

/// Whose the files of a run are on the host, and as whom its processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A uid of the run's own, with a gid of the same number: the daemon is root, and whatever it
    /// writes for the run belongs to the run at once.
    Own(NonZeroU32),
    /// A subordinate id of the daemon's own user, which is not root: files are given to the run
    /// once they are written, see `given`.
    Given(NonZeroU32),
    /// The daemon's own user, which is not root.
    Daemon,
}

impl Owner {
    /// The owner that was settled when the run was claimed.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let own = if is_root { Self::Own } else { Self::Given };
        run.host_uid.map_or(Self::Daemon, own)
    }

    /// The uid, where it is not the daemon's.
    #[must_use]
    pub fn host_uid(self) -> Option<u32> {
        match self {
            Self::Own(uid) | Self::Given(uid) => Some(uid.get()),
            Self::Daemon => None,
        }
    }

    /// Whose a file becomes as it is written, where that is not the daemon's user.
    pub(super) fn of_new(self) -> Option<u32> {
        match self {
            Self::Own(uid) => Some(uid.get()),
            Self::Given(_) | Self::Daemon => None,
        }
    }

    /// The same for the files of a tree.
    pub(super) fn for_tree(self) -> Option<tree::Owner> {
        self.of_new().map(|uid| tree::Owner { uid, gid: uid })
    }
}
