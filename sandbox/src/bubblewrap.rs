//! Finds bubblewrap, checks that it is new enough, and turns this process into it.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::entry;
use crate::handover::Descriptors;
use crate::report::{Refusal, Refuse as _, Step};
use crate::sys;

/// Where distributions put it.
const USUAL: &str = "/usr/bin/bwrap";

/// The first version that can forbid further user namespaces and take several filters.
const OLDEST: (u32, u32) = (0, 8);

/// What to do about a bubblewrap that cannot be used.
pub(crate) const FIX: &str = "install bubblewrap 0.8 or newer (apt install bubblewrap), \
                              or name one in HANDOFF_BWRAP";

/// Write permission for the group or for everybody.
const OTHERS_WRITE: u32 = 0o022;

/// A bubblewrap that was found, held open: its path may be hidden by then. It is asked for its
/// version while everything else is arranged.
#[derive(Debug)]
pub(crate) struct Bubblewrap {
    file: File,
    named: PathBuf,
    asked: Child,
}

/// Finds the path of the bubblewrap to use, by the caller's `PATH` if it is nowhere else.
pub(crate) fn locate() -> Option<PathBuf> {
    let usual = PathBuf::from(USUAL);
    if usual.exists() {
        return Some(usual);
    }
    env::split_paths(&env::var_os("PATH")?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("bwrap"))
        .find(|candidate| candidate.is_file())
}

impl Bubblewrap {
    /// Opens the file at `path` and begins to ask it for its version, as the run's user.
    pub(crate) fn find(path: Option<&Path>, host_uid: u32) -> Result<Self, Refusal> {
        let path = path.ok_or_else(|| refuse("bubblewrap is not installed"))?;
        let named = path.display();
        let file = File::open(path).map_err(|error| {
            Refusal::because(Step::Bubblewrap, format!("open {named}; {FIX}"), &error)
        })?;
        let metadata = file.metadata().refuse(Step::Bubblewrap, format_args!("look at {named}"))?;
        // Root runs nobody else's program; anybody else only runs it as themselves.
        let trusted = metadata.uid() == 0 || !rustix::process::geteuid().is_root();
        if !metadata.is_file() || !trusted || metadata.mode() & OTHERS_WRITE != 0 {
            return Err(refuse(format!("{named} is not a program that only its owner can change")));
        }
        let asked = ask_version(&file, host_uid).map_err(cannot_run)?;
        Ok(Self { file, named: path.to_owned(), asked })
    }

    /// Becomes bubblewrap, if it is new enough, which starts init with these descriptors. Returns
    /// only on failure.
    pub(crate) fn become_it(
        self,
        arguments: &OwnedFd,
        filters: &[OwnedFd],
        descriptors: &Descriptors,
    ) -> Result<Infallible, Refusal> {
        let answer = self.asked.wait_with_output().map_err(cannot_run)?;
        check_version(&String::from_utf8_lossy(&answer.stdout), &self.named)?;
        for passed in filters.iter().chain([arguments]).chain(descriptors.all()) {
            fcntl_setfd(passed.as_fd(), FdFlags::empty())
                .refuse(Step::Bubblewrap, "pass a descriptor")?;
        }
        let mut command = Command::new(path_of(&self.file));
        command.arg0("bwrap").env_clear();
        command.arg("--args").arg(arguments.as_raw_fd().to_string());
        command.arg("--").arg(crate::stage0::INIT_PATH);
        command.args(entry::arguments(entry::INIT, descriptors));
        Err(Refusal::because(Step::Bubblewrap, "become bubblewrap", &command.exec()))
    }
}

/// Starts it to tell its version. By descriptor, since the run's user may not reach the path.
fn ask_version(file: &File, host_uid: u32) -> io::Result<Child> {
    let mut command = Command::new(path_of(file));
    command.arg0("bwrap").arg("--version").env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A script, unlike a program, is opened once more by its interpreter.
    sys::inherit(&mut command, vec![file.as_raw_fd()]);
    if rustix::process::geteuid().is_root() {
        command.gid(host_uid).uid(host_uid);
    }
    command.spawn()
}

fn check_version(answer: &str, named: &Path) -> Result<(), Refusal> {
    let named = named.display();
    match parse(answer) {
        Some(version) if version >= OLDEST => Ok(()),
        Some((major, minor)) => Err(refuse(format!(
            "{named} is version {major}.{minor}, older than {}.{}",
            OLDEST.0, OLDEST.1
        ))),
        None => Err(refuse(format!("{named} does not answer as bubblewrap does"))),
    }
}

fn path_of(file: &File) -> OsString {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn cannot_run(error: io::Error) -> Refusal {
    Refusal::because(Step::Bubblewrap, format!("run it; {FIX}"), &error)
}

fn refuse(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Step::Bubblewrap, format!("{detail}; {FIX}"))
}

/// Reads `bubblewrap 0.8.0`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().strip_prefix("bubblewrap ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse("bubblewrap 0.11.1\n") > Some(OLDEST));
        assert!(parse("bubblewrap 0.8.0\n") >= Some(OLDEST));
        assert!(parse("bubblewrap 0.6.2\n") < Some(OLDEST));
        assert!(parse("bubblewrap 1.0") > Some(OLDEST));
        assert_eq!(parse("bwrap 0.8.0"), None);
        assert_eq!(parse(""), None);
        let named = Path::new("/usr/bin/bwrap");
        assert!(check_version("bubblewrap 0.8.0\n", named).is_ok());
        assert!(check_version("bubblewrap 0.6.2\n", named).is_err());
        assert!(check_version("", named).is_err());
    }
}
