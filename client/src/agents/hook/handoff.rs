//! Hands the session of a prompt off: runs our own program as its user would, and tells what it
//! said.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::{Event, reply};
use crate::agents::Kind;
use crate::agents::lease::{LeaseHolder, Leases, prompt_hash};
use crate::agents::live::Live;
use crate::exit::chain_text;
use crate::outbox::Outbox;
use crate::settings::Places;

/// After so long the program is interrupted, which keeps what is not sent: before the agent loses
/// patience, and would send the prompt to the model; see `install::TIMEOUT_SECONDS`.
const PATIENCE: Duration = Duration::from_secs(570);

/// More than this of its output is not looked at.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

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

/// Hands the session off to do `task`, once: returns what its user is told.
pub(super) fn hand_off(
    interface: Kind,
    event: &Event,
    task: &str,
    places: &Places,
    leases: &Leases,
) -> String {
    let outcome = try_hand_off(interface, event, task, places, leases);
    outcome.unwrap_or_else(|error| reply::failed(&chain_text(error.as_ref()), None))
}

fn try_hand_off(
    interface: Kind,
    event: &Event,
    task: &str,
    places: &Places,
    leases: &Leases,
) -> anyhow::Result<String> {
    let (agent, session) = (interface.name(), event.session_id.as_str());
    if task.is_empty() {
        return Ok(reply::nothing_to_do(interface));
    }
    let _one_at_a_time = leases.begin_handoff(agent, session)?;
    if let Some(lease) = leases.held(agent, session)? {
        let is_same = lease.holder.prompt == prompt_hash(task);
        return Ok(match is_same {
            true => reply::handed_off(interface, session, &lease.holder),
            false => reply::held(interface, session, &lease),
        });
    }
    if let Some((name, remote)) = unsent(agent, session, places)? {
        return Ok(reply::unsent(&name, &remote));
    }
    if let Some(directory) = interface.place()
        && let Live::Busy { .. } = interface.holder(&directory, session)?
    {
        return Ok(reply::busy(interface));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = match runtime.block_on(run_handoff(interface, event, task))? {
        Ok(run) => run,
        Err(Failure { error, hint }) => return Ok(reply::failed(&error, hint.as_deref())),
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

/// Name and remote of a handoff of this session that is kept here: another one would be a second
/// run once the remote is back.
fn unsent(agent: &str, session: &str, places: &Places) -> anyhow::Result<Option<(String, String)>> {
    let entries = Outbox::new(places).all()?.into_iter();
    let mut ours = entries.filter(|entry| {
        let contract = &entry.offer.contract;
        contract.agent == agent && contract.session_id == session
    });
    Ok(ours.next().map(|entry| (entry.shown_name(), entry.remote)))
}

/// Runs `handoff --session ID`.
async fn run_handoff(
    interface: Kind,
    event: &Event,
    task: &str,
) -> anyhow::Result<Result<Run, Failure>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(words(interface, &event.session_id, &event.cwd, task))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut said = std::pin::pin!(async { tokio::join!(read(out), read(err), child.wait()) });
    let (out, err, status) = match tokio::time::timeout(PATIENCE, &mut said).await {
        Ok(said) => said,
        Err(_) => {
            if let Some(pid) = id.and_then(Pid::from_raw) {
                kill_process(pid, Signal::INT)?;
            }
            said.await
        }
    };
    Ok(match status?.success() {
        true => serde_json::from_slice(&out).map_err(|error| Failure {
            error: format!("its answer cannot be read: {error}"),
            hint: Some("`handoff ls` tells what runs".to_owned()),
        }),
        false => Err(failure(&err)),
    })
}

/// The words after the program's name.
fn words<'a>(
    interface: Kind,
    session: &'a str,
    directory: &'a Path,
    task: &'a str,
) -> [&'a std::ffi::OsStr; 8] {
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

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What came before an error is all that there is.
        drop((&mut stream).take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await);
        drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
    }
    bytes
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
