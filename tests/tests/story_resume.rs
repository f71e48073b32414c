//! Handoffs that break at every step: the same snapshot arrives in the end, once, and next to
//! nothing is sent twice.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use handoff_tests::{
    remote::Remote,
    wire::Wire,
    world::{Said, World, said},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A user with a directory, and a daemon behind a wire.
struct Story {
    world: World,
    remote: Remote,
    wire: Wire,
    directory: PathBuf,
}

impl Story {
    fn new() -> Self {
        Self::with(World::new(), Remote::start())
    }

    fn with(world: World, remote: Remote) -> Self {
        let wire = Wire::to(remote.address());
        let invitation = wire.through(&remote.invite("ada", &[]));
        world.handoff(&world.home(), ["remote", "add", "box", &invitation]).ok();
        let directory = world.directory("app");
        Self { world, remote, wire, directory }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.world.write(&self.directory.join(name), content);
    }

    fn handoff(&self, args: &[&str]) -> Said {
        self.world.handoff(&self.directory, args)
    }

    fn spawn(&self, args: &[&str]) -> Child {
        self.world.spawn(&self.directory, "handoff", args)
    }

    /// The runs of the directory that are not on the daemon yet.
    fn unsent(&self) -> Vec<Value> {
        let all = self.handoff(&["ls", "--json"]);
        let all: Vec<Value> = serde_json::from_slice(&all.stdout).expect("JSON");
        all.into_iter().filter(|run| run["state"] == "sending").collect()
    }

    /// There is one run, nothing waits, and the command saw what `cksum large` says here.
    fn arrived(&self, run: &str, sum: &str) {
        let run = self.world.finished(&self.directory, run);
        assert_eq!(run["outcome"], "succeeded", "{run:#}");
        let id = run["id"].as_str().expect("an id");
        assert_eq!(self.handoff(&["logs", id]).ok(), sum);
        assert_eq!(self.remote.runs(), 1, "there is exactly one run");
        assert!(self.unsent().is_empty());
        assert_eq!(fs::read_dir(self.outbox()).expect("outbox").count(), 0, "nothing is left");
    }

    fn cksum(&self, name: &str) -> String {
        self.world.ok(&self.directory, "cksum", [name])
    }

    /// Hands `cksum large` off and stops the clock when so many bytes are on their way.
    fn hold_at(&self, bytes: usize, args: &[&str]) -> Child {
        self.wire.hold_after(bytes as u64);
        let client = self.spawn(&[args, &["cksum", "large"]].concat());
        self.wire.wait_until_held();
        client
    }

    /// Stops the daemon; whoever calls is sent away.
    fn stop_daemon(&mut self) {
        self.remote.stop();
        self.wire.cut();
    }

    fn start_daemon(&mut self) {
        self.remote.restart();
        self.wire.lead_to(self.remote.address());
    }

    fn outbox(&self) -> PathBuf {
        self.world.home().join(".local/state/handoff/outbox")
    }
}

/// The same noise for the same seed; it does not compress.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        noise.extend(random.next().to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// Xorshift: repeatable, and good enough for content and places.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn id(said: Said) -> String {
    said.ok().trim_end().to_owned()
}

/// What a client said that was started before.
fn end(client: Child) -> (Option<i32>, String) {
    let output = client.wait_with_output().expect("an end");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn ten_cuts_cost_next_to_nothing_and_the_snapshot_is_the_same() {
    const SIZE: usize = 104 << 20;
    let story = Story::new();
    story.write("large", noise(7, SIZE));
    let planned = story.handoff(&["plan", "--json", "cksum", "large"]).json();
    // What it costs without a cut.
    let (whole, wire) = (Remote::start(), &story.wire);
    let uncut = Wire::to(whole.address());
    let invitation = uncut.through(&whole.invite("ada", &[]));
    story.handoff(&["remote", "add", "whole", &invitation]).ok();
    drop(story.handoff(&["-r", "whole", "cksum", "large"]).ok());
    let once = uncut.passed();

    let mut random = Random(11);
    let mut places: Vec<u64> = (0..10).map(|_| random.next() % SIZE as u64).collect();
    places.sort_unstable();
    let gaps = places.windows(2).map(|pair| pair[1] - pair[0]);
    let gaps: Vec<u64> = std::iter::once(places[0]).chain(gaps).collect();
    wire.cut_after_each(&gaps);
    let sum = story.cksum("large");
    let run = id(story.handoff(&["-r", "box", "cksum", "large"]));
    let all = wire.passed();
    story.arrived(&run, &sum);
    assert_eq!(story.world.show(&story.directory, &run)["snapshot"], planned["snapshot"]);
    assert!(all * 100 <= once * 110, "{all} bytes were sent instead of {once}");
}

#[test]
fn a_client_that_was_killed_is_taken_over_by_another_one() {
    const SIZE: usize = 16 << 20;
    let story = Story::new();
    story.write("large", noise(1, SIZE));
    let sum = story.cksum("large");
    let mut client = story.hold_at(SIZE * 3 / 4, &["-n", "big"]);
    client.kill().expect("kill");
    client.wait().expect("an end");
    story.wire.release();

    let unsent = story.unsent();
    assert_eq!(unsent.len(), 1, "{unsent:#?}");
    assert_eq!(
        (unsent[0]["name"].as_str(), unsent[0]["remote"].as_str()),
        (Some("big"), Some("box"))
    );
    assert_eq!(story.handoff(&["show", "--json"]).json()["state"], "sending");
    story.handoff(&["logs", "big"]).fails(5, &["not on remote box yet", "resume-upload big"]);
    let run = id(story.handoff(&["resume-upload", "big"]));
    story.arrived(&run, &sum);
    let all = story.wire.passed();
    assert!(all < SIZE as u64 * 11 / 10, "{all} bytes were sent");
    // Once more is no second run.
    assert_eq!(id(story.handoff(&["resume-upload", "big"])), run);
    assert_eq!(story.handoff(&["resume-upload"]).ok(), "");
    story.handoff(&["resume-upload", "nothing"]).fails(8, &["nothing"]);
}

#[test]
fn a_tree_that_changed_after_the_client_was_killed_is_never_sent_as_what_it_was() {
    let story = Story::new();
    story.write("large", noise(2, 4 << 20));
    let mut client = story.hold_at(1 << 20, &["-n", "big"]);
    client.kill().expect("kill");
    client.wait().expect("an end");
    story.wire.cut();
    story.write("large", noise(3, 4 << 20));

    story
        .handoff(&["resume-upload"])
        .fails(5, &["`large` changed", "hand the command off again", "handoff rm big"]);
    let unsent = story.unsent();
    assert_eq!(unsent[0]["needs"]["kind"], "upload", "{unsent:#?}");
    drop(story.handoff(&["rm", "big"]).ok());
    assert!(story.unsent().is_empty());
    assert_eq!(story.remote.runs(), 0);
}

#[test]
fn a_daemon_that_is_killed_meanwhile_goes_on_with_what_it_had() {
    const SIZE: usize = 48 << 20;
    let mut story = Story::new();
    story.write("large", noise(4, SIZE));
    let sum = story.cksum("large");
    let client = story.hold_at(SIZE * 7 / 8, &[]);
    story.remote.kill();
    story.start_daemon();
    story.wire.cut();
    let output = client.wait_with_output().expect("an end");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{talk}");
    story.arrived(String::from_utf8_lossy(&output.stdout).trim(), &sum);
    // Less than twice what is made durable at a time comes again.
    let again = story.wire.passed() - SIZE as u64;
    assert!(again < 32 << 20, "{again} bytes were sent twice");
}

#[test]
fn a_receipt_that_was_lost_makes_no_second_run() {
    // No more than may be on its way without any answer.
    const SIZE: usize = 192 << 10;
    let story = Story::new();
    story.write("large", noise(5, SIZE));
    let sum = story.cksum("large");
    let direct = story.remote.invite("ada", &[]);
    story.handoff(&["remote", "add", "direct", &direct]).ok();
    let client = story.hold_at(SIZE / 2, &["-r", "box", "-n", "once"]);
    story.wire.hold_replies();
    story.wire.release_requests();
    // The daemon has everything and has answered; the answer does not arrive.
    let deadline = Instant::now() + Duration::from_secs(60);
    while story.handoff(&["show", "once", "-r", "direct"]).code != 0 {
        assert!(Instant::now() < deadline, "the run never came about");
    }
    story.wire.cut();
    let (code, talk) = end(client);
    assert_eq!(code, Some(0), "{talk}");
    story.arrived("once", &sum);
}

#[test]
fn a_remote_that_is_away_gets_the_tree_as_it_was_captured() {
    let mut story = Story::new();
    story.write("large", noise(6, 8 << 20));
    story.write("gone", "soon\n");
    story.stop_daemon();
    let away = story.handoff(&["-n", "later", "cat", "gone"]);
    assert!(away.stdout.is_empty(), "{away}");
    away.fails(
        6,
        &["kept here", "not safe to disconnect", "handoff resume-upload later", "notifier"],
    );
    fs::remove_file(story.directory.join("gone")).expect("remove");
    story.write("large", "changed\n");
    let unsent = story.unsent();
    assert_eq!(unsent[0]["name"], "later", "{unsent:#?}");
    story.handoff(&["resume-upload"]).fails(6, &["box"]);
    story.handoff(&["pull", "later"]).fails(5, &["resume-upload later"]);

    story.start_daemon();
    let run = story.handoff(&["resume-upload", "--json"]).json();
    assert_eq!(
        (run["name"].as_str(), run["snapshot"].as_str()),
        (Some("later"), unsent[0]["snapshot"].as_str())
    );
    story.arrived("later", "soon\n");
}

#[test]
fn what_the_remote_has_is_not_set_aside_again() {
    let mut story = Story::new();
    story.write("large", noise(8, 16 << 20));
    drop(story.handoff(&["-n", "before", "true"]).ok());
    story.write("small", "one\n");
    story.stop_daemon();
    story.handoff(&["-n", "later", "cat", "small"]).fails(6, &["kept here"]);
    let entry =
        fs::read_dir(story.outbox()).expect("outbox").next().expect("an entry").expect("entry");
    let size: u64 = fs::read_dir(entry.path())
        .expect("entry")
        .map(|file| file.expect("file").metadata().expect("metadata").len())
        .sum();
    assert!(size < 16 << 10, "{size} bytes are kept");
    story.write("small", "two\n");

    story.start_daemon();
    let run = id(story.handoff(&["resume-upload", "later"]));
    story.world.finished(&story.directory, &run);
    assert_eq!(story.handoff(&["logs", "later"]).ok(), "one\n");
}

#[test]
fn the_notifier_sends_what_waits_when_the_remote_is_back() {
    let mut story = Story::new();
    story.write("file", "as it was\n");
    story.stop_daemon();
    story.handoff(&["-n", "later", "cat", "file"]).fails(6, &["kept here"]);
    story.write("file", "changed\n");
    let mut notifier = story.spawn(&["notifier"]);
    let mut talk = BufReader::new(notifier.stderr.take().expect("a pipe")).lines();
    let mut told = |what: &str| {
        let found = talk.any(|line| line.expect("text").contains(what));
        assert!(found, "it ended without {what:?}");
    };
    told("box: later was not sent");
    story.start_daemon();
    // As waking up does: nobody wants to wait for a pause to end.
    kill_process(Pid::from_child(&notifier), Signal::CONT).expect("a process");
    told("box: sent: later");
    kill_process(Pid::from_child(&notifier), Signal::TERM).expect("a process");
    assert!(notifier.wait().expect("an end").success());
    story.arrived("later", "as it was\n");
}

#[test]
fn two_never_send_the_same_at_once() {
    const SIZE: usize = 4 << 20;
    let story = Story::new();
    story.write("large", noise(9, SIZE));
    let sum = story.cksum("large");
    let client = story.hold_at(SIZE / 2, &["-n", "one"]);
    story.handoff(&["resume-upload", "one"]).fails(5, &["being sent by another process"]);
    story.handoff(&["rm", "one"]).fails(5, &["being sent by another process"]);
    story.wire.release();
    let (code, talk) = end(client);
    assert_eq!(code, Some(0), "{talk}");
    story.arrived("one", &sum);
}

#[test]
fn an_interrupt_leaves_what_can_be_resumed_or_dropped() {
    const SIZE: usize = 4 << 20;
    let story = Story::new();
    story.write("large", noise(10, SIZE));
    let sum = story.cksum("large");
    let client = story.hold_at(SIZE / 2, &["-n", "one"]);
    kill_process(Pid::from_child(&client), Signal::INT).expect("a process");
    let (code, talk) = end(client);
    assert_eq!(code, Some(130), "{talk}");
    for text in ["run one is kept here", "handoff resume-upload one", "handoff rm one"] {
        assert!(talk.contains(text), "no {text:?} in {talk}");
    }
    story.wire.release();
    let run = id(story.handoff(&["resume-upload", "one"]));
    story.arrived(&run, &sum);
}

#[test]
fn a_laptop_without_room_says_so_and_sends_from_the_tree() {
    let world = World::new();
    let state = world.directory(".local/state/handoff");
    let _disk = Disk::mount(&state, 80 << 20);
    let mut story = Story::with(world, Remote::start());
    story.write("large", noise(12, 20 << 20));
    let sum = story.cksum("large");
    story.stop_daemon();
    let full = ["no room", "leave the tree as it is", "resume-upload later"];
    story.handoff(&["-n", "later", "cksum", "large"]).fails(6, &full);
    story.start_daemon();
    let run = id(story.handoff(&["resume-upload", "later"]));
    story.arrived(&run, &sum);
}

#[test]
fn a_daemon_whose_disk_fills_up_goes_on_when_there_is_room() {
    const SIZE: usize = 48 << 20;
    let story = Story::with(
        World::new(),
        Remote::on_small_disk(512 << 20, "[store]\nreserve = \"64MiB\"\n"),
    );
    story.write("large", noise(13, SIZE));
    let sum = story.cksum("large");
    let client = story.hold_at(SIZE * 7 / 8, &["-n", "big"]);
    let filler = story.remote.directory().join("filler");
    fill(&filler);
    story.wire.release();
    let (code, talk) = end(client);
    assert_eq!(code, Some(1), "{talk}");
    for text in ["run big is kept here", "handoff resume-upload big"] {
        assert!(talk.contains(text), "no {text:?} in {talk}");
    }
    story.handoff(&["resume-upload", "big"]).fails(1, &["disk"]);
    fs::remove_file(filler).expect("remove");
    let run = id(story.handoff(&["resume-upload", "big"]));
    story.arrived(&run, &sum);
    let again = story.wire.passed() - SIZE as u64;
    assert!(again < 20 << 20, "{again} bytes were sent twice");
}

/// A disk of its own for a directory; needs root to mount one.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(directory: &'a Path, bytes: u64) -> Self {
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory);
        drop(said(&mut mount).ok());
        Self(directory)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        drop(said(Command::new("umount").arg("--lazy").arg(self.0)));
    }
}

/// Writes a file until its disk is full.
fn fill(path: &Path) {
    let mut zeros = std::io::repeat(0);
    let mut file = fs::File::create(path).expect("create");
    let full = std::io::copy(&mut zeros, &mut file).expect_err("a full disk");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}
