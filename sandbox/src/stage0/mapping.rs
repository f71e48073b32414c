//! User namespaces that show somebody's files as a run's own: for mounts only, nothing lives in
//! them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode, Stdio};

use rustix::thread::UnshareFlags;

use crate::entry::{MAPPING, REFUSED};
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::HostUser;
use crate::sys;

/// The namespaces for one run, each made when it is first asked for.
#[derive(Debug)]
pub(super) struct Mappings {
    /// None: the run has its caller's uid, and nothing is mapped.
    run: Option<u32>,
    made: Vec<(HostUser, OwnedFd)>,
}

impl Mappings {
    pub(super) const fn new(run: Option<u32>) -> Self {
        Self { run, made: Vec::new() }
    }

    /// Returns the namespace in which this user's files are the run's; none where the run has no
    /// uid of its own.
    pub(super) fn of(&mut self, owner: HostUser) -> Result<Option<&OwnedFd>, Refusal> {
        let Some(run) = self.run else { return Ok(None) };
        let found = self.made.iter().position(|(made, _)| *made == owner);
        let index = if let Some(index) = found {
            index
        } else {
            let made =
                make(owner, run).refuse(Step::Source, "make a user namespace to map owners")?;
            self.made.push((owner, made));
            self.made.len() - 1
        };
        Ok(self.made.get(index).map(|(_, namespace)| namespace))
    }
}

/// The lines that map ids on the disk to ids that are seen. Root's own stay root's where they are
/// not the run's, for stage-0 makes mount points before it gives them to the run.
fn map(on_disk: u32, run: u32) -> String {
    let own = format!("{on_disk} {run} 1");
    if on_disk == HostUser::ROOT.uid { own } else { format!("0 0 1\n{own}") }
}

/// A namespace needs a process to be made; it ends as soon as the namespace is held open.
fn make(owner: HostUser, run: u32) -> io::Result<OwnedFd> {
    let mut child = Command::new("/proc/self/exe")
        .arg(OsStr::new(MAPPING))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let held = hold(&mut child, owner, run);
    // Ends its input, and with it the child.
    drop(child.stdin.take());
    child.wait()?;
    held
}

fn hold(child: &mut std::process::Child, owner: HostUser, run: u32) -> io::Result<OwnedFd> {
    let mut ready = [0];
    child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.read_exact(&mut ready)?;
    let process = format!("/proc/{}", child.id());
    for (file, on_disk) in [("uid_map", owner.uid), ("gid_map", owner.gid)] {
        fs::write(format!("{process}/{file}"), map(on_disk, run))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_roots_becomes_a_runs_only_where_root_is_the_owner() {
        assert_eq!(map(0, 9), "0 9 1");
        assert_eq!(map(7, 9), "0 0 1\n7 9 1");
    }
}
