//! Enters the namespaces that stage-0 needs for itself: mounts, the network, and, without root, a
//! user namespace in which it may arrange them. Bubblewrap makes the others.

use std::fs;
use std::io;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::UnshareFlags;

use super::identity::{Change, Run};
use crate::handover::Namespace;
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::Network;
use crate::subordinate::{FIX, Mapper, SubordinateIds};
use crate::sys;

/// Every kind that init compares with its own.
const KINDS: [&str; 7] = ["user", "mnt", "pid", "ipc", "uts", "net", "cgroup"];

/// Notes the caller's namespaces.
pub(super) fn outside() -> Result<Vec<Namespace>, Refusal> {
    KINDS
        .iter()
        .map(|kind| Namespace::current(kind))
        .collect::<io::Result<_>>()
        .refuse(Step::Namespaces, "look at the caller's namespaces")
}

/// Enters new namespaces and cuts mounts off from the host.
pub(super) fn enter(network: Network, run: Run) -> Result<(), Refusal> {
    let mut wanted = UnshareFlags::NEWNS;
    if network != Network::Host {
        wanted |= UnshareFlags::NEWNET;
    }
    if rustix::process::geteuid().is_root() {
        sys::unshare(wanted).refuse(Step::Namespaces, "enter new namespaces as root")?;
    } else if run.change == Change::ToSubordinate {
        let explain = |refusal| with_fix(refusal, run.host);
        let mapper = Mapper::start(&ids_with(run.host).map_err(explain)?).map_err(explain)?;
        unshare_as_user(wanted)?;
        mapper.map().map_err(explain)?;
    } else {
        enter_as_user(wanted)?;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .refuse(Step::Namespaces, "cut mounts off from the host")
}

/// The caller's subordinate ids, if this is one of them.
fn ids_with(host_uid: u32) -> Result<SubordinateIds, Refusal> {
    let ids = SubordinateIds::configured()?;
    if ids.contains(host_uid) {
        return Ok(ids);
    }
    Err(Refusal::new(Step::Identity, "it is no subordinate id of the user"))
}

fn with_fix(refusal: Refusal, host_uid: u32) -> Refusal {
    let detail = format!("give the run the host uid {host_uid}: {}; to do: {FIX}", refusal.detail);
    Refusal { detail, ..refusal }
}

fn enter_as_user(wanted: UnshareFlags) -> Result<(), Refusal> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare_as_user(wanted)?;
    // The order is the kernel's: groups may be mapped without privilege only once setgroups is
    // out of reach.
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{0} {0} 1", uid.as_raw())),
        ("gid_map", format!("{0} {0} 1", gid.as_raw())),
    ];
    for (file, text) in maps {
        fs::write(format!("/proc/self/{file}"), text)
            .refuse(Step::Namespaces, format_args!("write {file}"))?;
    }
    Ok(())
}

fn unshare_as_user(wanted: UnshareFlags) -> Result<(), Refusal> {
    sys::unshare(UnshareFlags::NEWUSER | wanted).refuse(
        Step::Namespaces,
        "enter a user namespace (user.max_user_namespaces, kernel.unprivileged_userns_clone or \
         an AppArmor rule may forbid it)",
    )
}
