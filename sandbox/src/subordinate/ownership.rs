//! Gives files to a run whose uid is a subordinate id, and takes them back: in a short process of
//! its own, since a caller with threads cannot enter a user namespace.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use super::ids::SubordinateIds;
use super::namespace::enter;
use super::walk::{CALLER, Walk};
use crate::entry::{OWNERSHIP, REFUSED};
use crate::report::{Refusal, Refuse as _, Step};

/// Tells what became of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// How many have another owner now.
    pub changed: u64,
    /// How many were left as they are: what belongs to somebody else, what is mounted in a
    /// directory, and files of the caller's with a name outside of the directories.
    pub left: u64,
}

/// Gives everything in these directories, and themselves, to one of the caller's subordinate ids,
/// uid and gid alike, or back to the caller's user: whatever belongs to the caller or to any of the
/// subordinate ids. A directory that does not exist is fine.
///
/// Links are given, never followed, and no other file system is entered. Whether all is done can be
/// told by a directory's own owner: it goes to a run first and comes back last. Setuid and setgid
/// bits of files are lost. Starts a process and waits for it.
///
/// # Errors
///
/// Fails if the caller has no such ids, or if an owner cannot be changed; some may have been by
/// then, and a second attempt does the rest.
pub fn give(directories: &[PathBuf], uid: u32) -> Result<Given, Refusal> {
    let what = format!("give files to uid {uid}");
    let said = Command::new("/proc/self/exe")
        .arg(OsStr::new(OWNERSHIP))
        .args([std::process::id(), uid].map(|number| number.to_string()))
        .args(directories)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .refuse(Step::Identity, &what)?;
    serde_json::from_slice::<Result<Given, Refusal>>(&said.stdout).unwrap_or_else(|_no_answer| {
        let detail = format!("{what}: the process for it ended without a word ({})", said.status);
        Err(Refusal::new(Step::Identity, detail))
    })
}

/// The process: enters the namespace, changes owners and says how it went.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let done = change(arguments);
    let code = if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) };
    let told = serde_json::to_vec(&done)
        .map_err(io::Error::from)
        .and_then(|line| io::stdout().write_all(&line));
    told.map_or(ExitCode::from(REFUSED), |()| code)
}

fn change(arguments: &[OsString]) -> Result<Given, Refusal> {
    let [parent, uid, directories @ ..] = arguments else {
        return Err(Refusal::new(Step::Identity, "whom files are given to is not said"));
    };
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse::<u32>().ok());
    let (Some(parent), Some(uid)) = (number(parent), number(uid)) else {
        return Err(Refusal::new(Step::Identity, "whom files are given to is no number"));
    };
    let ids = SubordinateIds::configured()?;
    // The caller's own uid is 0 in the namespace.
    let owner = match uid {
        _ if uid == rustix::process::getuid().as_raw() => CALLER,
        _ if ids.contains(uid) => uid,
        _ => {
            let detail = format!("host uid {uid} is none of the user's subordinate ids");
            return Err(Refusal::new(Step::Identity, detail));
        }
    };
    enter(&ids, parent)?;
    let mut walk = Walk::new(&ids, owner);
    for directory in directories {
        let directory = Path::new(directory);
        walk.directory(directory).refuse(
            Step::Identity,
            format_args!("change the owner of what is in {}", directory.display()),
        )?;
    }
    Ok(walk.given())
}
