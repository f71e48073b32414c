//! Tells Codex of threads of sub-agents whose files have come. Checked against version 0.169.0.
//!
//! Codex finds a thread that is opened by its file; which sub-agents a thread has it keeps in a
//! database, into which it takes those that somebody looks at. Looking at one changes no thread, and
//! asks no model.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use handoff_proto::path::AbsolutePath;
use serde_json::{Value, json};

/// How long all of it may take: for a few threads it is less than a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// What reaches for other hosts stays off.
const ARGUMENTS: [&str; 5] =
    ["app-server", "-c", "analytics.enabled=false", "--disable", "plugins"];

/// Has Codex look at these threads.
pub(in crate::agents) fn make_known(agent: &AbsolutePath, threads: &[&str]) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    // Settings of a repository are none of its business here.
    let mut codex = Command::new("codex")
        .args(ARGUMENTS)
        .current_dir(agent.as_os_path())
        .env("CODEX_HOME", agent.as_os_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut input), Some(output)) = (codex.stdin.take(), codex.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let looked = thread::scope(|scope| {
        let (sender, answers) = mpsc::channel();
        // It is ended below if it does not answer, and with it this.
        scope.spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let answers = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            let mut answers = answers.filter(|answer| answer["id"].is_u64());
            answers.try_for_each(|answer| sender.send(answer))
        });
        let looked = ask(&mut input, threads).and_then(|()| hear(&answers, threads.len(), until));
        drop(input);
        // Without requests to come it ends by itself; what it wrote down is on the disk by then.
        let left = || until.saturating_duration_since(Instant::now());
        while looked.is_ok() && answers.recv_timeout(left()).is_ok() {}
        let killed = codex.kill();
        looked.and(killed)
    });
    codex.wait()?;
    looked
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
