//! Entering a user namespace in which the files and processes of runs with subordinate ids are
//! within reach: for short processes with one thread, which end with who started them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::ids::SubordinateIds;
use super::mapper::Mapper;
use crate::report::{Refusal, Refuse as _, Step};
use crate::sys;

/// Moves this process to where it may look at all that runs of its user have, and ends it with its
/// parent: into the user namespace of `sandbox`, whose number is that of
/// [`Running::pid`](crate::Running::pid), or else a new one.
///
/// Only for a process with one thread, of an ordinary user with subordinate ids. Processes of a
/// sandbox are within reach only in its own namespace; there is nothing to see of one that has not
/// entered it yet, or is gone.
///
/// # Errors
///
/// Fails if there is no such namespace to be had, if the sandbox's cannot be joined, as in the moment
/// in which it becomes the run's, or if `parent` is not this process's parent any more.
pub fn enter_beside(sandbox: Option<u32>, parent: u32) -> Result<(), Refusal> {
    let joined = match sandbox.map(join) {
        Some(Ok(joined)) => joined,
        Some(Err(error)) if !is_gone(&error) => {
            return Err(Refusal::because(Step::Namespaces, "join the sandbox's", &error));
        }
        Some(Err(_)) | None => false,
    };
    if joined { end_with(parent) } else { enter(&SubordinateIds::configured()?, parent) }
}

/// Enters a new one.
pub(super) fn enter(ids: &SubordinateIds, parent: u32) -> Result<(), Refusal> {
    let mapper = Mapper::start(ids)?;
    sys::unshare(UnshareFlags::NEWUSER).refuse(Step::Namespaces, "enter a user namespace")?;
    mapper.map()?;
    end_with(parent)
}

/// Tells whether there was another namespace than ours to join, with its ids mapped.
fn join(pid: u32) -> io::Result<bool> {
    let namespace = File::open(format!("/proc/{pid}/ns/user"))?;
    let is_ours =
        namespace.metadata()?.ino() == File::open("/proc/self/ns/user")?.metadata()?.ino();
    // Written last.
    if is_ours || fs::read_to_string(format!("/proc/{pid}/gid_map"))?.is_empty() {
        return Ok(false);
    }
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::User))?;
    Ok(true)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Has the kernel end this process with its parent. Entering a namespace undoes that, so it comes
/// after.
fn end_with(parent: u32) -> Result<(), Refusal> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .refuse(Step::Namespaces, "end with the parent")?;
    let found = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if found == Some(parent) {
        return Ok(());
    }
    Err(Refusal::new(Step::Namespaces, "the parent is gone"))
}
