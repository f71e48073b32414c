//! The notifier on a real desktop session: every ending of a run is seen once, whatever was down
//! when it happened.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStderr},
};

use handoff_tests::{
    desktop::{Desktop, Notification},
    program,
    world::World,
};
use rustix::process::{Pid, Signal, kill_process};

/// A desktop session, and somebody at work in it.
fn session() -> (Desktop, World, PathBuf) {
    let desktop = Desktop::start();
    let mut world = World::new();
    world.set("DBUS_SESSION_BUS_ADDRESS", desktop.bus_address());
    let directory = world.directory("project");
    world.write(&directory.join("file"), "content\n");
    (desktop, world, directory)
}

/// `handoff notifier`, ended with the test.
struct Notifier {
    process: Child,
    talk: Lines<BufReader<ChildStderr>>,
}

impl Notifier {
    fn start(world: &World) -> Self {
        let mut process = world.spawn(&world.home(), "handoff", ["notifier"]);
        let talk = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        Self { process, talk }
    }

    /// Waits until it says that it will not tell this again.
    fn told(&mut self, summary: &str) {
        let told = format!("local: told: {summary}");
        let found = self.talk.any(|line| line.expect("text") == told);
        assert!(found, "it ended without {told:?}");
    }

    /// Ends it as a logout does; it says that all is well.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("a process");
        assert!(self.process.wait().expect("an end").success());
    }

    /// Ends it as a crash does.
    fn crash(mut self) {
        self.process.kill().expect("a process");
        assert!(!self.process.wait().expect("an end").success());
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// An installed notifier, uninstalled with the test.
struct Installed<'a>(&'a World);

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        drop(self.0.handoff(&self.0.home(), ["uninstall", "notifier"]));
    }
}

fn summaries(shown: &[Notification]) -> Vec<&str> {
    shown.iter().map(|one| one.summary.as_str()).collect()
}

/// Hands a command off under a name and waits for its end.
fn finish(world: &World, directory: &Path, name: &str) {
    let id = world.hand_off(directory, ["-n", name, "--", "true"]);
    drop(world.finished(directory, &id));
}

#[test]
fn every_ending_is_seen_exactly_once() {
    let (mut desktop, world, directory) = session();

    // Before there ever was a notifier.
    finish(&world, &directory, "early");
    let mut notifier = Notifier::start(&world);
    assert_eq!(desktop.next_shown().summary, "early: succeeded");

    // While one is running.
    let command = ["-n", "live", "--", "sh", "-c", "echo '<b>&'; exit 3"];
    drop(world.hand_off(&directory, command));
    let live = desktop.next_shown();
    assert_eq!((live.summary.as_str(), live.urgency.as_str()), ("live: failed", "CRITICAL"));
    for text in ["&lt;b&gt;&amp;", "handoff pull live", "on local"] {
        assert!(live.body.contains(text), "no {text:?} in {live:?}");
    }

    // There is one at a time.
    world.handoff(&directory, ["notifier"]).fails(5, &["running already"]);

    // While it is down, after a clean end and after a crash.
    notifier.told("live: failed");
    notifier.stop();
    finish(&world, &directory, "down");
    let mut notifier = Notifier::start(&world);
    assert_eq!(desktop.next_shown().summary, "down: succeeded");
    notifier.told("down: succeeded");
    notifier.crash();
    finish(&world, &directory, "crashed");
    let notifier = Notifier::start(&world);
    assert_eq!(desktop.next_shown().summary, "crashed: succeeded");

    // Across a restart of the daemon.
    world.stop_daemon(&world.local_daemon());
    finish(&world, &directory, "restarted");
    assert_eq!(desktop.next_shown().summary, "restarted: succeeded");

    // None of them was seen again meanwhile.
    let once = ["crashed", "down", "early", "live", "restarted"];
    let seen = desktop.history();
    let seen: Vec<_> =
        summaries(&seen).iter().filter_map(|summary| summary.split(':').next()).collect();
    assert_eq!(seen, once);
    notifier.stop();
}

#[test]
fn an_ending_waits_for_the_desktop() {
    let (mut desktop, world, directory) = session();
    desktop.stop_notifications();
    let notifier = Notifier::start(&world);
    finish(&world, &directory, "one");
    finish(&world, &directory, "two");
    desktop.start_notifications();
    let shown: [_; 2] = desktop.next_ones_shown();
    assert_eq!(shown.map(|shown| shown.summary), ["one: succeeded", "two: succeeded"]);
    assert_eq!(summaries(&desktop.history()), ["one: succeeded", "two: succeeded"]);
    notifier.stop();
}

#[test]
fn without_systemd_the_desktop_starts_the_notifier() {
    let (mut desktop, world, directory) = session();
    let entry = world.home().join(".config/autostart/handoff-notifier.desktop");
    let install = |verb: &str| world.handoff(&directory, [verb, "notifier"]).ok();
    let _ends = Installed(&world);

    let done = install("install");
    assert!(done.contains("wrote") && done.contains("started it as process"), "{done}");
    let text = fs::read_to_string(&entry).expect("an entry");
    assert!(text.contains(world.bin().join("handoff").to_str().expect("UTF-8")), "{text}");
    let again = install("install");
    assert!(again.contains("as it should be") && again.contains("running already"), "{again}");

    finish(&world, &directory, "one");
    assert_eq!(desktop.next_shown().summary, "one: succeeded");
    let doctor = world.handoff(&directory, ["doctor", "--json"]).json();
    for name in ["notifier", "desktop notifications"] {
        let checks = doctor["checks"].as_array().expect("checks").iter();
        let check = checks.into_iter().find(|check| check["name"] == name).expect("a check");
        assert_eq!(check["state"], "ok", "{check}");
    }

    let done = install("uninstall");
    assert!(done.contains("removed") && done.contains("stopped"), "{done}");
    assert!(!entry.exists());
    assert_eq!(install("uninstall"), "");
}

#[test]
fn systemd_starts_the_notifier_where_there_is_systemd() {
    let world = World::new();
    let asked = world.path().join("asked");
    let systemctl = world.bin().join("systemctl");
    program::write(&systemctl, &format!("#!/bin/sh\necho \"$*\" >>'{}'\n", asked.display()));
    let unit = world.home().join(".config/systemd/user/handoff-notifier.service");

    drop(world.handoff(&world.home(), ["install", "notifier"]).ok());
    let text = fs::read_to_string(&unit).expect("a unit");
    let program = format!("ExecStart=\"{}/handoff\" notifier\n", world.bin().display());
    for line in [program.as_str(), "Restart=on-failure\n", "WantedBy=default.target\n"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    drop(world.handoff(&world.home(), ["uninstall", "notifier"]).ok());
    assert!(!unit.exists());
    let asked = fs::read_to_string(asked).expect("what was asked");
    for line in [
        "--user daemon-reload\n",
        "--user enable handoff-notifier.service\n",
        "--user restart handoff-notifier.service\n",
        "--user disable --now handoff-notifier.service\n",
    ] {
        assert!(asked.contains(line), "no {line:?} in {asked}");
    }
}
