//! What the gateway gives up: a daemon that is root must not parse what runs send as root.

use std::io;

use rustix::fs::{Gid, Uid};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The uid of gateways whose daemon is root: nobody's, and no run's. Those of runs count up from
/// 0x7000_0000 and would need half a billion to get there.
const GATEWAY_UID: u32 = 0x8fff_fff0;

/// Gives up root and the way back, and hides from other processes of this uid.
pub(super) fn give_up() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        assume(GATEWAY_UID)?;
    }
    set_no_new_privs(true)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Only while the process has one thread: rustix changes the calling thread alone.
fn assume(uid: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    // The order matters: groups cannot be given up after the uid.
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}
