//! Has the ids of a user namespace mapped, which takes a process that stays outside of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, ExitCode, Stdio};

use super::ids::SubordinateIds;
use crate::entry::{REFUSED, SUBORDINATE};
use crate::report::{Refusal, Refuse as _, Step};

/// What writes the mappings.
const PROGRAMS: [&str; 2] = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"];

/// Write permission for the group or for everybody.
const OTHERS_WRITE: u32 = 0o022;

/// What is attempted.
const WHAT: &str = "map the user's subordinate ids";

/// A process of ours that stays outside until the namespace is there to be mapped.
#[derive(Debug)]
pub(crate) struct Mapper {
    outside: Child,
}

impl Mapper {
    /// Starts it, while this process is still outside itself.
    pub(crate) fn start(ids: &SubordinateIds) -> Result<Self, Refusal> {
        for program in PROGRAMS {
            let found =
                fs::metadata(program).refuse(Step::Identity, format_args!("look for {program}"))?;
            if found.uid() != 0 || found.mode() & OTHERS_WRITE != 0 {
                let detail = format!("{program} is not a program that only root can change");
                return Err(Refusal::new(Step::Identity, detail));
            }
        }
        // Each has its own number in the namespace.
        let lines = ids.ranges().iter().flat_map(|ids| [ids.start, ids.start, ids.end - ids.start]);
        let outside = Command::new("/proc/self/exe")
            .arg(OsStr::new(SUBORDINATE))
            .args([std::process::id()].into_iter().chain(lines).map(|number| number.to_string()))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .refuse(Step::Identity, "start a process to map ids")?;
        Ok(Self { outside })
    }

    /// Has the namespace mapped in which this process now is.
    pub(crate) fn map(mut self) -> Result<(), Refusal> {
        if let Some(mut go) = self.outside.stdin.take() {
            go.write_all(b"!").refuse(Step::Identity, WHAT)?;
        }
        let said = self.outside.wait_with_output().refuse(Step::Identity, WHAT)?;
        if said.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said.stdout);
        Err(Refusal::new(Step::Identity, format!("{WHAT}: {}", said.trim())))
    }
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
    let [parent, lines @ ..] = arguments else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    io::stdin().read_exact(&mut [0])?;
    let own = [rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()];
    for (program, own) in PROGRAMS.into_iter().zip(own) {
        let said = Command::new(program)
            .arg(parent)
            .args(["0", &own.to_string(), "1"])
            .args(lines)
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
