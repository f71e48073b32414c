//! Who owns on the host what a run may write.

use std::num::NonZeroU32;

use handoff_proto::{run::Run, tree};

/// Whose the files of a run are on the host, and as whom its processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A uid of the run's own, with a gid of the same number: the daemon is root.
    Own(NonZeroU32),
    /// The daemon's own user, which is not root.
    Daemon,
}

impl Owner {
    /// The owner that was settled when the run was claimed.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        run.host_uid.map_or(Self::Daemon, Self::Own)
    }

    /// The uid, where it is not the daemon's.
    #[must_use]
    pub fn host_uid(self) -> Option<u32> {
        match self {
            Self::Own(uid) => Some(uid.get()),
            Self::Daemon => None,
        }
    }

    /// Whom files are given to, where that is not the daemon's user.
    pub(super) fn for_tree(self) -> Option<tree::Owner> {
        self.host_uid().map(|uid| tree::Owner { uid, gid: uid })
    }
}
