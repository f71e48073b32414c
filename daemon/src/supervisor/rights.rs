//! With whose rights a supervisor and its gateways touch files: their own, or those of the user whose
//! files they are. Only for a process with one thread.

use std::io;

use handoff_sandbox::HostUser;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use serde::{Deserialize, Serialize};

/// Whose rights count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rights {
    /// This process's own.
    Own,
    /// This user's, in a process that is root and in no other groups: what is made belongs to the
    /// user, and what the user may not touch is refused by the kernel.
    Of(HostUser),
}

impl Rights {
    /// Does something with these rights and no others.
    ///
    /// # Errors
    ///
    /// Fails as `act` does, or if the rights cannot be changed; who is root then stays without
    /// root's rights.
    pub(crate) fn exercise<T>(self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Self::Of(user) = self else { return act() };
        assume(user)?;
        let done = act();
        resume()?;
        done
    }

    /// Tells whether a process of this uid may ask a supervisor with these rights for anything.
    pub(crate) fn admits(self, peer: Uid) -> bool {
        peer.is_root() || peer.as_raw() == self.uid()
    }

    /// Whose the files are.
    pub(crate) fn uid(self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Of(user) => user.uid,
        }
    }
}

/// The order matters: groups cannot be changed without root's rights.
fn assume(user: HostUser) -> io::Result<()> {
    set_thread_res_gid(None, Gid::from_raw(user.gid), None)?;
    Ok(set_thread_res_uid(None, Uid::from_raw(user.uid), None)?)
}

fn resume() -> io::Result<()> {
    set_thread_res_uid(None, Uid::ROOT, None)?;
    Ok(set_thread_res_gid(None, Gid::ROOT, None)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// Needs root, as a launched supervisor does.
    #[test]
    fn the_users_rights_are_all_that_count_and_only_for_as_long() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let directory = tempfile::tempdir().expect("directory");
        let user = HostUser { uid: 54_321, gid: 54_322 };
        let (secret, own) = (directory.path().join("secret"), directory.path().join("own"));
        std::fs::write(&secret, "").expect("write");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&secret, mode).expect("mode");
        std::os::unix::fs::chown(directory.path(), Some(user.uid), Some(user.gid)).expect("chown");
        std::fs::read(&secret).expect("root may");
        let denied = Rights::Of(user).exercise(|| std::fs::read(&secret)).expect_err("denied");
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        Rights::Of(user).exercise(|| std::fs::write(&own, "")).expect("write");
        let made = own.metadata().expect("metadata");
        assert_eq!((made.uid(), made.gid()), (user.uid, user.gid));
        std::fs::read(&secret).expect("root may again");
    }

    #[test]
    fn root_and_the_owner_are_admitted() {
        let rights = Rights::Of(HostUser { uid: 7, gid: 8 });
        for (uid, expected) in [(0, true), (7, true), (8, false)] {
            assert_eq!(rights.admits(Uid::from_raw(uid)), expected, "{uid}");
        }
    }
}
