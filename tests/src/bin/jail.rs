//! Runs one command in a jail with the streams that it was given, for the escape attempts.
//!
//! Usage: `jail --probe`, which writes what this machine can do to standard output as JSON,
//! `jail --give UID DIRECTORY...`, which gives files to a run and writes how that went, or
//! `jail SPEC REPORT [--until-eof]`. SPEC is a policy as JSON; REPORT is written at the end:
//! one JSON object with `isolation`, `ended` and `oom_kills`. With `--until-eof` the command's
//! standard input is empty, and the run is killed when ours ends.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use handoff_sandbox::{Ended, ExitStatus, Isolation, Next, Report, Running, Spec, Stdio, spawn};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;

/// What a run that did not end by itself is reported as, to tell it from the command's own codes.
const KILLED: u8 = 124;

/// As init itself has it.
const REFUSED: u8 = 125;

fn main() -> Result<ExitCode> {
    if let Some(code) = handoff_sandbox::entry(std::env::args_os()) {
        return Ok(code);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (spec, report, until_eof) = match arguments[..] {
        ["--probe"] => return probe(),
        ["--give", uid, ref directories @ ..] => return give(uid.parse()?, directories),
        [spec, report] => (spec, report, false),
        [spec, report, "--until-eof"] => (spec, report, true),
        _ => bail!("usage: jail --probe | --give UID DIRECTORY... | SPEC REPORT [--until-eof]"),
    };
    let spec: Spec = serde_json::from_slice(&fs::read(spec).context("read the policy")?)?;
    let (isolation, ended, oom_kills) = run(&spec, until_eof)?;
    let text = json!({
        "isolation": isolation,
        "ended": format!("{ended:?}"),
        "refused": if let Ended::Refused(refusal) = &ended { json!(refusal) } else { json!(null) },
        "oom_kills": oom_kills,
    });
    fs::write(report, text.to_string()).context("write the report")?;
    Ok(ExitCode::from(match ended {
        Ended::Exited(ExitStatus::Code(code)) => u8::try_from(code).context("an exit code")?,
        Ended::Exited(ExitStatus::Signal(signal)) => 128 + u8::try_from(signal)?,
        Ended::Refused(_) => REFUSED,
        Ended::WithoutReport => KILLED,
    }))
}

fn probe() -> Result<ExitCode> {
    serde_json::to_writer(std::io::stdout(), &handoff_sandbox::probe())?;
    Ok(ExitCode::SUCCESS)
}

fn give(uid: u32, directories: &[&str]) -> Result<ExitCode> {
    let directories: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
    serde_json::to_writer(std::io::stdout(), &handoff_sandbox::give(&directories, uid))?;
    Ok(ExitCode::SUCCESS)
}

fn run(spec: &Spec, until_eof: bool) -> Result<(Option<Isolation>, Ended, Option<u64>)> {
    let mut stdio = Stdio {
        stdin: std::io::stdin().as_fd().try_clone_to_owned()?,
        stdout: std::io::stdout().as_fd().try_clone_to_owned()?,
        stderr: std::io::stderr().as_fd().try_clone_to_owned()?,
    };
    if until_eof {
        stdio.stdin = OwnedFd::from(File::open("/dev/null")?);
    }
    let mut running = match spawn(spec, stdio) {
        Ok(running) => running,
        Err(handoff_sandbox::SpawnError::Refused(refusal)) => {
            return Ok((None, Ended::Refused(refusal), None));
        }
        Err(error) => return Err(error.into()),
    };
    let (mut isolation, mut shown) = (None, None);
    loop {
        match running.next()? {
            Next::Report(Report::Ready { isolation: found }) => {
                isolation = Some(found);
                shown = running.take_terminal().map(show);
            }
            Next::Report(_) => {}
            Next::Pending => wait(&mut running, until_eof)?,
            Next::Ended(_) => break,
        }
    }
    let ended = running.wait()?;
    if let Some(shown) = shown {
        // Nobody is left who could write more.
        shown.join().ok().context("show the terminal")?;
    }
    let oom_kills = running.oom_kills();
    running.cleanup()?;
    Ok((isolation, ended, oom_kills))
}

/// Copies what the command's terminal shows to standard output, until nobody has it any more.
fn show(terminal: OwnedFd) -> JoinHandle<()> {
    std::thread::spawn(|| {
        // It ends with an error, as terminals do.
        drop(std::io::copy(&mut File::from(terminal), &mut std::io::stdout()));
    })
}

/// Waits for a report, or for the end of our own input, which ends the run.
fn wait(running: &mut Running, until_eof: bool) -> Result<()> {
    let stdin = std::io::stdin();
    let mut ready = vec![PollFd::from_borrowed_fd(running.report_fd(), PollFlags::IN)];
    if until_eof {
        ready.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
    }
    rustix::io::retry_on_intr(|| poll(&mut ready, None))?;
    if until_eof && !ready[1].revents().is_empty() {
        running.kill()?;
        // Nothing but the end is of interest now.
        running.wait()?;
    }
    Ok(())
}
