//! Becomes the run's user on the host and gives up everything else. From here on nothing in this
//! process or below it can act as anyone but the run.

use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::isolation::{Layer, LayerName, LayerState};
use crate::report::{Refusal, Refuse as _, Step};
use crate::status::Status;
use crate::subordinate;

/// Who the run is, and how stage-0 gets there. Its gid has the same number throughout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The uid on the host, which has the same number in the namespaces of stage-0.
    pub(super) host: u32,
    pub(super) change: Change,
}

/// What has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Root becomes the run's user.
    FromRoot,
    /// An ordinary user becomes an id of those that are the user's to give.
    ToSubordinate,
    /// The run is the caller's user.
    Nothing,
}

impl Run {
    pub(super) const fn new(host: u32, caller: u32) -> Self {
        match caller {
            0 => Self { host, change: Change::FromRoot },
            _ if caller == host => Self { host, change: Change::Nothing },
            _ => Self { host, change: Change::ToSubordinate },
        }
    }

    /// Takes over the command's streams, where the caller could not give them away.
    pub(super) fn take_streams(self, streams: [&OwnedFd; 3]) -> Result<(), Refusal> {
        match self.change {
            Change::ToSubordinate => subordinate::give_streams(streams, self.host),
            Change::FromRoot | Change::Nothing => Ok(()),
        }
    }
}

/// Becomes the run's user and says what that is worth.
pub(super) fn assume(run: Run) -> Result<Layer, Refusal> {
    let changes = run.change != Change::Nothing;
    if changes {
        let (uid, gid) = (Uid::from_raw(run.host), Gid::from_raw(run.host));
        // The order matters: groups cannot be given up after the uid.
        set_thread_groups(&[]).refuse(Step::Identity, "give up groups")?;
        set_thread_res_gid(gid, gid, gid).refuse(Step::Identity, "become the run's group")?;
        set_thread_res_uid(uid, uid, uid).refuse(Step::Identity, "become the run's user")?;
    }
    let status = Status::read().refuse(Step::Identity, "read our own status")?;
    check(&status, run.host, changes)?;
    let (state, detail) = if changes {
        (LayerState::InForce, format!("per-run uid {}", run.host))
    } else {
        // Only root can give up groups. They open no path that is not shown anyway.
        let others = status.groups.iter().filter(|group| !status.gids.contains(group)).count();
        let groups = if others == 0 { String::new() } else { format!(", with {others} groups") };
        (LayerState::Partial, format!("same uid as the caller{groups}"))
    };
    Ok(Layer::new(LayerName::Uid, state, detail))
}

/// Compares who this process is, by the kernel's word, with who it is to be.
fn check(status: &Status, uid: u32, changed: bool) -> Result<(), Refusal> {
    let expected = vec![uid; 4];
    if uid == 0 || status.uids != expected {
        let detail = format!("the uids are {:?} instead of {uid}", status.uids);
        return Err(Refusal::new(Step::Identity, detail));
    }
    if changed && (status.gids != expected || !status.groups.is_empty()) {
        let detail = format!("the groups are {:?} {:?}", status.gids, status.groups);
        return Err(Refusal::new(Step::Identity, detail));
    }
    // Without a change, the capabilities left are those over our own user namespace; the exec of
    // bubblewrap takes them.
    if changed && status.capabilities.iter().take(3).any(|(_, set)| *set != 0) {
        return Err(Refusal::new(Step::Identity, "capabilities are left after becoming the run"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
        let mut capabilities = sets.map(|name| (name.to_owned(), 0)).to_vec();
        // The bounding set is bubblewrap's to empty.
        capabilities[3].1 = u64::MAX;
        Status { uids: vec![7; 4], gids: vec![7; 4], capabilities, ..Status::default() }
    }

    #[test]
    fn whoever_is_not_wholly_the_run_is_refused() {
        check(&status(), 7, true).expect("the run");
        let refused = |change: fn(&mut Status), host_uid| {
            let mut status = status();
            change(&mut status);
            let refusal = check(&status, host_uid, true).expect_err("not the run");
            assert_eq!(refusal.step, Step::Identity);
        };
        refused(|_| {}, 8);
        refused(|status| status.uids = vec![0; 4], 0);
        refused(|status| status.uids[2] = 0, 7);
        refused(|status| status.gids[1] = 0, 7);
        refused(|status| status.groups = vec![27], 7);
        refused(|status| status.capabilities[1].1 = 1, 7);
    }
}
