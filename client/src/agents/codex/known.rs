//! Tells Codex of threads of sub-agents whose files have come. Checked against version 0.169.0.
//!
//! Codex finds a thread that is opened by its file; which sub-agents a thread has it keeps in a
//! database, into which it takes those that somebody looks at. Looking at one changes no thread, and
//! asks no model.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use handoff_proto::path::AbsolutePath;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

/// How long all of it may take: for a few threads it is less than a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// What reaches for other hosts stays off.
const ARGUMENTS: [&str; 5] =
    ["app-server", "-c", "analytics.enabled=false", "--disable", "plugins"];

/// Has Codex look at these threads.
pub(in crate::agents) fn make_known(agent: &AbsolutePath, threads: &[&str]) -> io::Result<()> {
    let mut codex = Command::new("codex");
    // Settings of a repository are none of its business here.
    codex.args(ARGUMENTS).current_dir(agent.as_os_path()).env("CODEX_HOME", agent.as_os_path());
    look(&mut codex, threads, Instant::now() + PATIENCE)
}

/// What is started may be a script that starts Codex: it is ended with all that it started, and what
/// even so keeps its output open is not waited for.
fn look(codex: &mut Command, threads: &[&str], until: Instant) -> io::Result<()> {
    let mut codex = codex
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (input, output) = (codex.stdin.take(), codex.stdout.take());
    let looked = input.zip(output).ok_or_else(|| io::ErrorKind::BrokenPipe.into());
    let looked = looked.and_then(|(input, output)| converse(input, output, threads, until));
    // Not waited for yet, it still has its id, and the group has it, too.
    let group = Pid::from_child(&codex);
    let killed = kill_process_group(group, Signal::KILL).map_err(io::Error::from);
    codex.wait()?;
    looked.and(killed)
}

/// Asks, hears the answers, and hears it end.
fn converse(
    mut input: impl io::Write,
    output: impl io::Read + Send + 'static,
    threads: &[&str],
    until: Instant,
) -> io::Result<()> {
    let (sender, answers) = mpsc::channel();
    thread::Builder::new().name("codex".to_owned()).spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let answers = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let mut answers = answers.filter(|answer| answer["id"].is_u64());
        answers.try_for_each(|answer| sender.send(answer))
    })?;
    ask(&mut input, threads)?;
    hear(&answers, threads.len(), until)?;
    drop(input);
    // Without requests to come it ends by itself; what it wrote down is on the disk by then.
    let left = || until.saturating_duration_since(Instant::now());
    while answers.recv_timeout(left()).is_ok() {}
    Ok(())
}

fn ask(input: &mut impl io::Write, threads: &[&str]) -> io::Result<()> {
    let client = json!({ "name": env!("CARGO_PKG_NAME"), "title": null, "version": env!("CARGO_PKG_VERSION") });
    let hello = json!({ "id": 0, "method": "initialize", "params": { "clientInfo": client } });
    let mut requests = vec![hello, json!({ "method": "initialized" })];
    let looks = (1..).zip(threads).map(|(id, thread)| {
        json!({ "id": id, "method": "thread/read", "params": { "threadId": thread } })
    });
    requests.extend::<Vec<Value>>(looks.collect());
    requests.iter().try_for_each(|request| writeln!(input, "{request}"))?;
    input.flush()
}

/// Hears the answers to the first request and to one for each thread.
fn hear(answers: &mpsc::Receiver<Value>, threads: usize, until: Instant) -> io::Result<()> {
    for _ in 0..=threads {
        let left = until.saturating_duration_since(Instant::now());
        let answer = answers.recv_timeout(left).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
            mpsc::RecvTimeoutError::Disconnected => io::Error::other("codex ended"),
        })?;
        if let Some(error) = answer["error"]["message"].as_str() {
            return Err(io::Error::other(error.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{CWD, Mode, OFlags, fcntl_setfl, mkfifoat, open};

    use super::*;

    /// A script in place of Codex, which answers that and has a process of its own that holds on to
    /// its output and hears of no end. Returns what came of it, and what that process still said.
    fn looked(answer: &str, patience: Duration) -> (io::Result<()>, String) {
        let directory = tempfile::tempdir().expect("directory");
        let pipe = directory.path().join("pipe");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("pipe");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let words = open(&pipe, flags, Mode::empty()).expect("open");
        let script = format!(
            "{{ sleep 60; echo late >&3; }} 3>\"$0\" </dev/null & read -r line; {answer}; cat >/dev/null; wait"
        );
        let mut codex = Command::new("sh");
        codex.arg("-c").arg(script).arg(&pipe);
        let looked = look(&mut codex, &["a"], Instant::now() + patience);
        fcntl_setfl(&words, OFlags::empty()).expect("flags");
        let said = io::read_to_string(File::from(words)).expect("read");
        (looked, said)
    }

    #[test]
    fn it_ends_with_all_that_it_started_whatever_holds_its_output() {
        let refuses = r#"echo '{"id":0,"error":{"message":"not now"}}'"#;
        let (looked, said) = looked(refuses, PATIENCE);
        assert_eq!(looked.unwrap_err().to_string(), "not now");
        assert_eq!(said, "");
    }

    #[test]
    fn it_has_only_so_long() {
        let (looked, said) = looked(":", Duration::from_millis(1));
        assert_eq!(looked.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(said, "");
    }
}
