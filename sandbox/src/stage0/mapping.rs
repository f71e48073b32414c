//! A user namespace that shows root's files as a run's own: for mounts only, nothing lives in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode, Stdio};

use rustix::thread::UnshareFlags;

use crate::entry::{MAPPING, REFUSED};
use crate::report::{Refusal, Refuse as _, Step};
use crate::sys;

/// Makes a namespace in which the uid and gid 0 of files mean this uid.
pub(super) fn to(uid: u32) -> Result<OwnedFd, Refusal> {
    make(uid).refuse(Step::Source, "make a user namespace to map owners")
}

/// A namespace needs a process to be made; it ends as soon as the namespace is held open.
fn make(uid: u32) -> io::Result<OwnedFd> {
    let mut child = Command::new("/proc/self/exe")
        .arg(OsStr::new(MAPPING))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let held = hold(&mut child, uid);
    // Ends its input, and with it the child.
    drop(child.stdin.take());
    child.wait()?;
    held
}

fn hold(child: &mut std::process::Child, uid: u32) -> io::Result<OwnedFd> {
    let mut ready = [0];
    child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.read_exact(&mut ready)?;
    let process = format!("/proc/{}", child.id());
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("{process}/{map}"), format!("0 {uid} 1"))?;
    }
    Ok(File::open(format!("{process}/ns/user"))?.into())
}

/// The child: enters a new user namespace, says so, and stays until its input ends.
pub(crate) fn run() -> ExitCode {
    let stay = || -> io::Result<()> {
        sys::unshare(UnshareFlags::NEWUSER)?;
        io::stdout().write_all(b"!")?;
        io::stdout().flush()?;
        io::stdin().read_to_end(&mut Vec::new()).map(drop)
    };
    stay().map_or(ExitCode::from(REFUSED), |()| ExitCode::SUCCESS)
}
