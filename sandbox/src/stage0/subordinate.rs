//! Gives stage-0 a user namespace of an ordinary user with two ids in it: the caller's, as 0, and a
//! subordinate one, as [`RUN`], for the run. Only `newuidmap` and `newgidmap` may write such a
//! mapping; they know whose the subordinate ids are, and have to be started outside.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::fs::{FileType, Gid, Uid, fchown, fstat};

use crate::entry::{REFUSED, SUBORDINATE};
use crate::report::{Refusal, Refuse as _, Step};

/// The run's uid and gid in the namespace.
pub(super) const RUN: u32 = 1;

/// What to do where an ordinary user's runs get no uid of their own.
pub(crate) const FIX: &str = "apt install uidmap, and as root: usermod --add-subuids \
                              100000-165535 --add-subgids 100000-165535 USER";

/// What writes the mappings, and the file that it writes.
const PROGRAMS: [&str; 2] = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"];

/// Write permission for the group or for everybody.
const OTHERS_WRITE: u32 = 0o022;

/// A process of ours that stays outside until the namespace is there to be mapped.
#[derive(Debug)]
pub(super) struct Mapper {
    outside: Child,
    host_uid: u32,
}

impl Mapper {
    /// Starts it, while this process is still outside itself.
    pub(super) fn start(host_uid: u32) -> Result<Self, Refusal> {
        for program in PROGRAMS {
            let found = fs::metadata(program)
                .refuse(Step::Identity, format_args!("look for {program}; to do: {FIX}"))?;
            if found.uid() != 0 || found.mode() & OTHERS_WRITE != 0 {
                let detail = format!("{program} is not a program that only root can change");
                return Err(Refusal::new(Step::Identity, detail));
            }
        }
        let outside = Command::new("/proc/self/exe")
            .arg(OsStr::new(SUBORDINATE))
            .args([std::process::id(), host_uid].map(|number| number.to_string()))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .refuse(Step::Identity, "start a process to map ids")?;
        Ok(Self { outside, host_uid })
    }

    /// Has the namespace mapped in which this process now is.
    pub(super) fn map(mut self) -> Result<(), Refusal> {
        let what = format!("give the run the host uid {}", self.host_uid);
        if let Some(mut go) = self.outside.stdin.take() {
            go.write_all(b"!").refuse(Step::Identity, &what)?;
        }
        let said = self.outside.wait_with_output().refuse(Step::Identity, &what)?;
        if said.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said.stdout);
        Err(Refusal::new(Step::Identity, format!("{what}: {}; to do: {FIX}", said.trim())))
    }
}

/// Gives the pipes of the command to the run, or else it could not open `/dev/stdout`.
pub(super) fn give(streams: [&OwnedFd; 3]) -> Result<(), Refusal> {
    let run = (Uid::from_raw(RUN), Gid::from_raw(RUN));
    for stream in streams {
        let kind = fstat(stream).refuse(Step::Identity, "look at a stream")?.st_mode;
        if FileType::from_raw_mode(kind) == FileType::Fifo {
            // Somebody else's pipe is left as it is: it can be used, and only not opened anew.
            let _somebody_elses = fchown(stream, Some(run.0), Some(run.1));
        }
    }
    Ok(())
}

/// The process outside: waits for the word, then has both mappings of its parent written.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    match map_parent(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            // A parent that has gone needs no answer.
            let _gone = io::stdout().write_all(complaint.to_string().as_bytes());
            ExitCode::from(REFUSED)
        }
    }
}

fn map_parent(arguments: &[OsString]) -> io::Result<()> {
    let [parent, subordinate] = arguments else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    io::stdin().read_exact(&mut [0])?;
    let own = [rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()];
    for (program, own) in PROGRAMS.into_iter().zip(own) {
        let said = Command::new(program)
            .arg(parent)
            .args(["0", &own.to_string(), "1", &RUN.to_string()])
            .arg(subordinate)
            .arg("1")
            .env_clear()
            .stdin(Stdio::null())
            .output()?;
        if !said.status.success() {
            let said = String::from_utf8_lossy(&said.stderr);
            return Err(io::Error::other(format!("{program} refuses: {}", said.trim())));
        }
    }
    Ok(())
}
