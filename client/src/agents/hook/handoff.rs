//! Hands the session of a prompt off: runs our own program as its user would, and tells what it
//! said.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;

use super::child::printed;
use super::{Event, reply, taken};
use crate::agents::Kind;
use crate::agents::lease::{LeaseHolder, prompt_hash};
use crate::agents::live::Live;
use crate::detached;
use crate::exit::explain;
use crate::settings::{Places, create_private_directory};

/// As much of its errors is looked at.
const ERRORS_BYTES_MAX: u64 = 1 << 20;

/// What is needed of a run object.
#[derive(Debug, Deserialize)]
struct Run {
    id: String,
    name: String,
    remote: String,
}

/// An error as `--json` prints it.
#[derive(Debug, Deserialize)]
struct Failure {
    error: String,
    hint: Option<String>,
}

/// How the program ended.
enum Ending {
    Run(Run),
    Failed(Failure),
    /// It goes on, and writes its errors to this file.
    Late(PathBuf),
}

/// Hands the session off to do `task`, once: returns what its user is told, in time.
pub(super) fn hand_off(
    interface: Kind,
    event: &Event,
    task: &str,
    places: &Places,
    until: Instant,
) -> String {
    try_hand_off(interface, event, task, places, until).unwrap_or_else(|error| {
        let explained = explain(&error);
        reply::failed(&explained.message, explained.hint.as_deref())
    })
}

fn try_hand_off(
    interface: Kind,
    event: &Event,
    task: &str,
    places: &Places,
    until: Instant,
) -> anyhow::Result<String> {
    if task.is_empty() {
        return Ok(reply::nothing_to_do(interface));
    }
    let taken = || taken(interface, event, Some(task), places, until);
    if let Some(told) = taken()? {
        return Ok(told);
    }
    let session = event.session_id.as_str();
    if let Some(directory) = interface.place()
        && let Live::Busy { .. } = interface.holder(&directory, session)?
    {
        return Ok(reply::busy(interface));
    }
    let run = match run_handoff(interface, event, task, places, until)? {
        Ending::Run(run) => run,
        Ending::Late(log) => return Ok(reply::goes_on(&log)),
        Ending::Failed(Failure { error, hint }) => {
            // It may be kept here now, or somebody else was faster.
            return Ok(taken()?.unwrap_or_else(|| reply::failed(&error, hint.as_deref())));
        }
    };
    let holder = LeaseHolder {
        run: run.id,
        name: run.name,
        remote: run.remote,
        prompt: prompt_hash(task),
        since_unix_nanos: i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
    };
    Ok(reply::handed_off(interface, session, &holder))
}

/// Runs `handoff --session ID`, which alone claims the session. It outlives us: what takes longer
/// than an agent waits goes on, and is found in `handoff ls`.
fn run_handoff(
    interface: Kind,
    event: &Event,
    task: &str,
    places: &Places,
    until: Instant,
) -> anyhow::Result<Ending> {
    let (path, mut log) = log(interface, &event.session_id, places)?;
    let program = detached::program()?;
    let words = words(interface, &event.session_id, &event.cwd, task).map(OsStr::to_owned);
    let words = std::iter::once(program.clone().into_os_string()).chain(words);
    let mut child = Command::new(&program)
        .args(detached::arguments(words))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone()?)
        .spawn()?;
    let Some(out) = printed(&mut child, until)? else { return Ok(Ending::Late(path)) };
    let status = child.wait()?;
    let mut said = Vec::new();
    io::Seek::rewind(&mut log)?;
    log.take(ERRORS_BYTES_MAX).read_to_end(&mut said)?;
    // Whoever reads it has been told.
    drop(std::fs::remove_file(path));
    Ok(match status.success() {
        true => match serde_json::from_slice(&out) {
            Ok(run) => Ending::Run(run),
            Err(error) => Ending::Failed(Failure {
                error: format!("its answer cannot be read: {error}"),
                hint: Some("`handoff ls` tells what runs".to_owned()),
            }),
        },
        false => Ending::Failed(failure(&said)),
    })
}

/// Where the errors of a session's handoff go, for as long as nobody has been told.
fn log(interface: Kind, session: &str, places: &Places) -> io::Result<(PathBuf, File)> {
    create_private_directory(&places.hook())?;
    let path = places.hook().join(format!("{}-{session}.log", interface.name()));
    let mut options = File::options();
    let file = options.read(true).append(true).create(true).mode(0o600).open(&path)?;
    file.set_len(0)?;
    Ok((path, file))
}

/// The words after the program's name.
fn words<'a>(
    interface: Kind,
    session: &'a str,
    directory: &'a Path,
    task: &'a str,
) -> [&'a OsStr; 8] {
    [
        "--json".as_ref(),
        "--session".as_ref(),
        session.as_ref(),
        "-C".as_ref(),
        directory.as_os_str(),
        interface.name().as_ref(),
        "--".as_ref(),
        task.as_ref(),
    ]
}

/// The error among what a program said, which is the last object.
fn failure(said: &[u8]) -> Failure {
    let found =
        said.split(|byte| *byte == b'\n').rev().find_map(|line| serde_json::from_slice(line).ok());
    found.unwrap_or_else(|| Failure {
        error: match String::from_utf8_lossy(said).trim() {
            "" => "the handoff ended without a word".to_owned(),
            text => text.to_owned(),
        },
        hint: None,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::agents::Kind;
    use crate::cli;

    #[test]
    fn whatever_the_task_is_it_is_a_prompt_and_no_option() {
        for task in ["fix it", "--model is a flag", "-p", "--", "-- x"] {
            let words = words(Kind::Claude, "abc", Path::new("/w"), task);
            // The words up to the command are the command line's, the rest the agent's.
            assert_eq!(words[..5], ["--json", "--session", "abc", "-C", "/w"]);
            let line: Vec<OsString> = std::iter::once(OsString::from("handoff"))
                .chain(words[3..].iter().map(OsString::from))
                .collect();
            let Ok(cli::Parsed::Run(invocation)) = cli::parse(&line) else { panic!("{line:?}") };
            let cli::Invoked::Handoff(args) = invocation.command else { panic!("{line:?}") };
            assert_eq!(Kind::Claude.task(&args.command).unwrap().prompt, task);
        }
    }

    #[test]
    fn the_error_is_found_among_what_else_is_said() {
        let said = b"a note\n{\"error\":\"no remote\",\"code\":6,\"hint\":\"pair one\"}\n";
        let Failure { error, hint } = failure(said);
        assert_eq!((error.as_str(), hint.as_deref()), ("no remote", Some("pair one")));
        assert_eq!(failure(b"thread panicked\n").error, "thread panicked");
        assert!(!failure(b"").error.is_empty());
    }
}
