//! The real thing: `handoffd serve` with a state of its own, and a client with a home of its own,
//! paired with it over mutual TLS as with any other machine.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Bench, ends::Ends, measure, process};
use crate::wire::Wire;

/// A daemon and a client that know each other and nothing else; ends with this value.
#[derive(Debug)]
pub(super) struct Ours {
    directory: TempDir,
    binaries: PathBuf,
    daemon: Child,
    near: Vec<String>,
    wire: Option<Wire>,
}

/// A run that was handed off.
#[derive(Clone, Debug)]
pub(super) struct Handed {
    pub(super) run: String,
    /// When `handoff` was started, in seconds since 1970.
    pub(super) began: f64,
    /// How long it took until the receipt.
    pub(super) seconds: f64,
}

/// What lies between client and daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    Nothing,
    /// A relay that counts bytes and can cut.
    Wire,
}

impl Ours {
    /// On loopback.
    pub(super) fn start(bench: &Bench, between: Between) -> Result<Self> {
        Self::with(bench, between, "")
    }

    /// The same with more settings of the daemon.
    pub(super) fn with(bench: &Bench, between: Between, settings: &str) -> Result<Self> {
        Self::made(bench, &Ends::loopback(), between, settings)
    }

    /// With a link of one's own.
    pub(super) fn at(bench: &Bench, ends: &Ends, between: Between) -> Result<Self> {
        Self::made(bench, ends, between, "")
    }

    fn made(bench: &Bench, ends: &Ends, between: Between, settings: &str) -> Result<Self> {
        let directory = bench.scratch("ours-")?;
        fs::create_dir(directory.path().join("home")).context("create a home")?;
        let listen = SocketAddr::new(ends.address, 0);
        let config = format!("[listen]\naddress = \"{listen}\"\n{settings}");
        fs::write(directory.path().join("handoffd.toml"), config).context("write settings")?;
        let mut serve = process::prefixed(&ends.far, "setpriv");
        serve.args(["--pdeathsig", "TERM"]).arg(bench.binaries.join("handoffd")).arg("serve");
        as_daemon(&mut serve, directory.path());
        let (daemon, address) = started(&mut serve)?;
        let wire = (between == Between::Wire).then(|| Wire::to(&address));
        let near = ends.near.clone();
        let ours = Self { directory, binaries: bench.binaries.clone(), daemon, near, wire };
        ours.pair()?;
        Ok(ours)
    }

    fn pair(&self) -> Result<()> {
        let handoffd = self.binaries.join("handoffd");
        let mut invite = process::command(&handoffd.display().to_string());
        as_daemon(invite.args(["invite", "bench"]), self.directory.path());
        let invitation = process::ok(&mut invite)?;
        let invitation = match &self.wire {
            Some(wire) => wire.through(invitation.trim()),
            None => invitation.trim().to_owned(),
        };
        let home = self.directory.path();
        process::ok(&mut self.client(&[], home, &["remote", "add", "box", &invitation]))?;
        process::ok(&mut self.client(&[], home, &["remote", "default", "box"]))?;
        Ok(())
    }

    /// `handoff` in a directory, with words such as `time` before it.
    pub(super) fn client(&self, before: &[String], directory: &Path, args: &[&str]) -> Command {
        let words: Vec<String> = self.near.iter().chain(before).cloned().collect();
        let handoff = self.binaries.join("handoff");
        let mut client = process::prefixed(&words, &handoff.display().to_string());
        let home = self.directory.path().join("home");
        client.args(args).current_dir(directory).env("HOME", home).env("USER", "bench");
        client
    }

    /// Hands a command off and measures until the receipt.
    pub(super) fn hand_off(&self, directory: &Path, command: &[&str]) -> Result<Handed> {
        self.hand_off_with(&[], directory, command)
    }

    /// The same with words before `handoff`.
    pub(super) fn hand_off_with(
        &self,
        before: &[String],
        directory: &Path,
        command: &[&str],
    ) -> Result<Handed> {
        let args: Vec<&str> = ["--"].iter().chain(command).copied().collect();
        let mut client = self.client(before, directory, &args);
        let began = measure::now()?;
        let start = Instant::now();
        let run = process::ok(&mut client)?;
        let seconds = start.elapsed().as_secs_f64();
        measure::say(format_args!("   handoff: {seconds:.3} s"));
        Ok(Handed { run: run.trim().to_owned(), began, seconds })
    }

    /// Waits until a run is over, so that it does not disturb what is measured next.
    pub(super) fn finish(&self, directory: &Path, run: &str) -> Result<()> {
        process::ok(&mut self.client(&[], directory, &["watch", run]))?;
        Ok(())
    }

    /// The same for the newest run of a directory.
    pub(super) fn finish_newest(&self, directory: &Path) -> Result<()> {
        process::ok(&mut self.client(&[], directory, &["watch"]))?;
        Ok(())
    }

    /// Hands off what prints the time as soon as it runs, and waits until that is over; the
    /// seconds from the start of `handoff` until the command ran.
    pub(super) fn until_it_runs(&self, directory: &Path) -> Result<f64> {
        let handed = self.hand_off(directory, &["date", "+%s.%N"])?;
        self.finish(directory, &handed.run)?;
        let printed = process::ok(&mut self.client(&[], directory, &["logs", &handed.run]))?;
        let ran: f64 = printed.trim().parse().with_context(|| format!("no time: {printed:?}"))?;
        Ok(ran - handed.began)
    }

    /// The run object.
    pub(super) fn show(&self, directory: &Path, run: &str) -> Result<Value> {
        let text = process::ok(&mut self.client(&[], directory, &["show", run, "--json"]))?;
        serde_json::from_str(&text).context("read the run")
    }

    /// How many runs the daemon has.
    pub(super) fn runs(&self, directory: &Path) -> Result<usize> {
        let text = process::ok(&mut self.client(&[], directory, &["ls", "--all", "--json"]))?;
        let runs: Vec<Value> = serde_json::from_str(&text).context("read the runs")?;
        Ok(runs.len())
    }

    /// The daemon's process.
    pub(super) fn daemon(&self) -> u32 {
        self.daemon.id()
    }

    /// The relay; an error if there is none.
    pub(super) fn wire(&self) -> Result<&Wire> {
        self.wire.as_ref().context("no relay between client and daemon")
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // It may have ended already.
        kill_process(Pid::from_child(&self.daemon), Signal::TERM).ok();
        drop(self.daemon.wait());
    }
}

fn as_daemon(command: &mut Command, directory: &Path) {
    command
        .env("HOME", directory)
        .env("HANDOFFD_STATE", directory.join("state"))
        .env("HANDOFFD_CONFIG", directory.join("handoffd.toml"));
}

/// Starts the daemon and waits until it says where it listens.
fn started(serve: &mut Command) -> Result<(Child, String)> {
    let mut daemon = serve.stderr(Stdio::piped()).spawn().context("start handoffd")?;
    let mut lines = BufReader::new(daemon.stderr.take().context("stderr")?).lines();
    let mut seen = String::new();
    let address = loop {
        let Some(line) = lines.next() else { bail!("handoffd ended: {seen}") };
        let line = line?;
        if let Some((_, address)) = line.split_once("listening on ") {
            break address.trim().to_owned();
        }
        seen.push_str(&line);
    };
    ensure!(address.parse::<SocketAddr>().is_ok(), "not an address: {address:?}");
    // Nobody reads its log any more, and it must not die of that.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((daemon, address))
}
