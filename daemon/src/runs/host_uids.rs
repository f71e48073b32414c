//! Which uids the runs of this daemon have on the host: the one place that chooses them, but for a
//! launcher's, which chooses itself.

use std::{collections::HashSet, fs, io, num::NonZeroU32, path::Path};

use handoff_sandbox::{Refusal, Step, SubordinateIds};
use thiserror::Error;

/// Lowest of the uids that runs get on a root daemon: above what distributions, subordinate id
/// ranges and systemd's containers (which end at 0x6FFFFFFF) use.
const FIRST_OF_ROOT: u32 = 0x7000_0000;

/// Where the uids come from.
#[derive(Debug)]
pub enum HostUids {
    /// The daemon is root: from `FIRST_OF_ROOT` on.
    OfRoot,
    /// The daemon's user has subordinate ids; the first to be tried is at this place among them.
    Subordinate {
        /// All of them.
        ids: SubordinateIds,
        /// Where to begin.
        start: u32,
    },
    /// Runs have the daemon's uid, or what a launcher gives them.
    None {
        /// Why they have none, where the daemon chooses.
        why: Option<String>,
    },
}

/// Every uid is some run's.
#[derive(Debug, Error)]
#[error(
    "none was free of the {count} subordinate ids of the daemon's user when the run was claimed, or \
     there were none yet; hand it off again, after removing runs with `handoff rm` or adding ids to \
     /etc/subuid and /etc/subgid"
)]
pub(super) struct NoneFree {
    count: u32,
}

impl HostUids {
    /// Finds out what there is, by trying. Blocks.
    #[must_use]
    pub fn find(launcher: Option<&Path>, state: &Path) -> Self {
        if rustix::process::geteuid().is_root() {
            return Self::OfRoot;
        }
        if launcher.is_some() {
            return Self::None { why: None };
        }
        // Two daemons of one user, with a state directory each, seldom give the same ones.
        let start = place(state);
        let found = SubordinateIds::find().and_then(|ids| {
            if let Some(uid) = ids.from(start).next() {
                try_giving(state, uid)?;
            }
            Ok(Self::Subordinate { ids, start })
        });
        found.unwrap_or_else(|refusal| {
            tracing::warn!("runs share the daemon's uid: {refusal}");
            Self::None { why: Some(refusal.to_string()) }
        })
    }

    /// Why runs have none, where that is so and the daemon chooses.
    #[must_use]
    pub fn why_none(&self) -> Option<&str> {
        match self {
            Self::None { why } => why.as_deref(),
            Self::OfRoot | Self::Subordinate { .. } => None,
        }
    }

    /// Whether runs are subordinate ids of the daemon's user.
    #[must_use]
    pub const fn are_subordinate(&self) -> bool {
        matches!(self, Self::Subordinate { .. })
    }

    /// The first uid that no run has; none where runs get none of their own.
    pub(super) fn free(&self, used: &HashSet<u32>) -> Result<Option<NonZeroU32>, NoneFree> {
        let free = |uid: &u32| !used.contains(uid);
        match self {
            Self::OfRoot => Ok((FIRST_OF_ROOT..).find(free).and_then(NonZeroU32::new)),
            Self::Subordinate { ids, start } => {
                let found = ids.from(*start).find(free).and_then(NonZeroU32::new);
                found.map(Some).ok_or_else(|| NoneFree { count: ids.count() })
            }
            Self::None { .. } => Ok(None),
        }
    }

    /// Refuses a run that has none although others have: the daemon's would be a weaker one.
    pub(super) fn check(&self, run: Option<NonZeroU32>) -> Result<(), NoneFree> {
        match (self, run) {
            (Self::Subordinate { ids, .. }, None) => Err(NoneFree { count: ids.count() }),
            (Self::OfRoot | Self::Subordinate { .. } | Self::None { .. }, _) => Ok(()),
        }
    }
}

/// Tries whether files in the state directory can be given away and taken back. Not everywhere:
/// what a setgid directory makes has a group that is nobody's to give, and some file systems let
/// only root change owners.
fn try_giving(state: &Path, uid: u32) -> Result<(), Refusal> {
    let refuse = |error: io::Error| {
        let detail = format!("try to give files in {} to a run: {error}", state.display());
        Refusal { step: Step::Identity, detail, errno: error.raw_os_error() }
    };
    let trial = tempfile::Builder::new().prefix(".trial-").tempdir_in(state).map_err(refuse)?;
    fs::write(trial.path().join("file"), "").map_err(refuse)?;
    let directory = [trial.path().to_owned()];
    let given = handoff_sandbox::give(&directory, uid);
    let taken = handoff_sandbox::give(&directory, rustix::process::geteuid().as_raw());
    given.and(taken).map(drop).map_err(|refusal| {
        let detail =
            format!("files in {} cannot be given to a run: {}", state.display(), refusal.detail);
        Refusal { detail, ..refusal }
    })
}

fn place(state: &Path) -> u32 {
    let hash = blake3::hash(state.as_os_str().as_encoded_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_runs_get_the_lowest_that_is_free() {
        let uid = |used: &[u32]| {
            HostUids::OfRoot.free(&used.iter().copied().collect()).expect("free").map(u32::from)
        };
        assert_eq!(uid(&[]), Some(FIRST_OF_ROOT));
        assert_eq!(uid(&[FIRST_OF_ROOT, FIRST_OF_ROOT + 2, 7]), Some(FIRST_OF_ROOT + 1));
        assert_eq!(HostUids::None { why: None }.free(&HashSet::new()).expect("none"), None);
    }
}
