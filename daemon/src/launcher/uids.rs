//! The uids that launched runs have on the host: each is one run's for as long as its supervisor
//! lives, across launchers, by a lock that the kernel gives back.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use handoff_proto::run::RunId;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use super::place;

/// The lowest uid. Like those that a daemon that is root gives (from 0x7000_0000 on), these are
/// above what distributions, subordinate ids and systemd's containers use, and no daemon has as
/// many runs as lie between.
pub(super) const FIRST: u32 = 0x7800_0000;

/// How many there are, and so how many supervisors at a time.
pub(super) const COUNT: u32 = 512;

/// A uid that nobody else gets for as long as this is held.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) uid: u32,
    lock: OwnedFd,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A child between fork and exec still has the descriptor: closing alone might not unlock.
        // There is nothing to be done about a failure; the descriptor is closed next.
        let _unlocked = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Takes a uid; the same run gets the same one as a rule. None if all are taken.
///
/// # Errors
///
/// Fails if the directory of locks is not root's alone, or a lock cannot be tried.
pub(super) fn lease(locks: &Path, run: &RunId) -> io::Result<Option<Lease>> {
    place::check_all(locks)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let locks = rustix::fs::open(locks, flags, Mode::empty())?;
    // Seldom the one that was given back last: of a supervisor that was killed, processes may live
    // for a moment longer.
    let hash = blake3::hash(run.as_str().as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    let first = u32::from_le_bytes([a, b, c, d]) % COUNT;
    for uid in (0..COUNT).map(|offset| FIRST + (first + offset) % COUNT) {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&locks, uid.to_string(), flags, Mode::RUSR | Mode::WUSR)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(Lease { uid, lock })),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Needs root, whose the locks have to be.
    #[test]
    fn no_two_have_the_same_and_all_can_be_had() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let locks = tempfile::tempdir().expect("directory");
        let lease = |number| lease(locks.path(), &RunId::from_random([number; 10])).expect("locks");
        let one = lease(1).expect("free");
        assert_ne!(lease(1).expect("another").uid, one.uid);
        let given = one.uid;
        drop(one);
        let again = lease(1).expect("free");
        assert_eq!(again.uid, given, "a run has the same for its harvest");
        let mut all = vec![again];
        while let Some(next) = lease(2) {
            all.push(next);
        }
        let uids: HashSet<u32> = all.iter().map(|lease| lease.uid).collect();
        assert_eq!(uids.len(), usize::try_from(COUNT).expect("number"));
        assert!(uids.iter().all(|uid| (FIRST..FIRST + COUNT).contains(uid)));
    }
}
