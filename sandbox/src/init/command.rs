//! Prepares and starts the command itself.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::Mode;
use rustix::process::{Pid, Resource, chdir, umask};

use crate::report::{Refusal, Refuse as _, Step};
use crate::rlimit;
use crate::spec::Spec;
use crate::sys;

/// Where programs are looked for if the environment does not say.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A command that only has to be started.
#[derive(Debug)]
pub(super) struct Prepared {
    command: Command,
    name: OsString,
}

/// Enters the working directory, sets what the command inherits and finds it.
pub(super) fn prepare(spec: &Spec, streams: [OwnedFd; 3]) -> Result<Prepared, Refusal> {
    umask(Mode::from_raw_mode(spec.umask));
    chdir(&spec.cwd).refuse(Step::Directory, format_args!("enter {}", spec.cwd.display()))?;
    // Init itself is one of the processes that the kernel counts.
    rlimit::lower(Resource::Nproc, spec.limits.processes.saturating_add(1))?;

    let (name, arguments) = spec
        .argv
        .split_first()
        .ok_or_else(|| Refusal::new(Step::Command, "there is no command"))?;
    let program = find(name, path_of(spec))?;
    let [stdin, stdout, stderr] = streams;
    let mut command = Command::new(program);
    command.arg0(name).args(arguments);
    command.env_clear().envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    sys::own_session(&mut command);
    Ok(Prepared { command, name: name.clone() })
}

impl Prepared {
    /// Starts the command and returns it as the leader of its process group.
    pub(super) fn start(mut self) -> Result<Pid, Refusal> {
        let child = self
            .command
            .spawn()
            .refuse(Step::Command, format_args!("execute {}", self.name.display()))?;
        Ok(Pid::from_child(&child))
    }
}

fn path_of(spec: &Spec) -> &OsStr {
    let path = spec.env.iter().rev().find(|(name, _)| name == "PATH");
    path.map_or(OsStr::new(USUAL_PATH), |(_, value)| value)
}

/// Finds a program as a shell does, so that a missing one is told before anything is started.
fn find(name: &OsStr, path: &OsStr) -> Result<PathBuf, Refusal> {
    let mut found_other = false;
    let mut candidates: Vec<PathBuf> = if Path::new(name).components().count() > 1 {
        vec![name.into()]
    } else {
        env::split_paths(path).map(|directory| directory.join(name)).collect()
    };
    candidates.retain(|candidate| {
        let metadata = fs::metadata(candidate);
        let executable = metadata
            .as_ref()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        found_other |= metadata.is_ok() && !executable;
        executable
    });
    let (what, errno) = if found_other {
        ("is not executable", libc::EACCES)
    } else {
        ("is not there", libc::ENOENT)
    };
    candidates.into_iter().next().ok_or_else(|| Refusal {
        step: Step::Command,
        detail: format!("{} {what}", name.display()),
        errno: Some(errno),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_path_and_by_name() {
        assert!(find("sh".as_ref(), "/nowhere:/usr/bin:/bin".as_ref()).expect("sh").is_absolute());
        find("/bin/sh".as_ref(), "".as_ref()).expect("an absolute path");
    }

    #[test]
    fn what_is_missing_and_what_is_no_program_are_told_apart() {
        let missing = find("no-such-program".as_ref(), "/usr/bin".as_ref()).expect_err("missing");
        assert_eq!(missing.errno, Some(libc::ENOENT), "{missing}");
        let file = find("/proc/self/status".as_ref(), "".as_ref()).expect_err("a file");
        assert_eq!(file.errno, Some(libc::EACCES), "{file}");
        let directory = find("/usr".as_ref(), "".as_ref()).expect_err("a directory");
        assert_eq!(directory.errno, Some(libc::EACCES), "{directory}");
    }
}
