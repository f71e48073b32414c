//! A desktop without a screen: a private session bus, a virtual display, and a real notification
//! daemon (dunst) that tells what it shows.
//!
//! Every part says itself when it is ready; what was started ends with the desktop.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bus that everybody of this machine may use and that starts no services by itself.
const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=PATH</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"#;

/// Equal notifications stay apart, none is forgotten, and a script hears of each.
const DUNST_CONFIG: &str = r#"[global]
markup = full
stack_duplicates = false
history_length = 1000
always_run_script = true
[every]
summary = "*"
script = SCRIPT
"#;

/// Tells the desktop what is shown: four texts, each ended by a zero byte, in one write.
const SCRIPT: &str = "#!/bin/sh\nexec /usr/bin/printf '%s\\0%s\\0%s\\0%s\\0' \"$DUNST_ID\" \"$DUNST_URGENCY\" \"$DUNST_SUMMARY\" \"$DUNST_BODY\" >'PIPE'\n";

/// What happens on the bus when the notification daemon comes.
const OWNER_CHANGED: &str = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.Notifications'";

/// A private desktop session.
#[derive(Debug)]
pub struct Desktop {
    /// With what it says, which has to go somewhere.
    notifications: Option<(Process, Lines)>,
    display: String,
    shown: Lines,
    _screen: Process,
    bus_address: String,
    _bus: Process,
    directory: TempDir,
}

/// What the user sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// `LOW`, `NORMAL` or `CRITICAL`; empty where it is not known.
    pub urgency: String,
    /// The heading.
    pub summary: String,
    /// The text below it, with its markup.
    pub body: String,
}

impl Desktop {
    /// A desktop that shows notifications.
    #[must_use]
    pub fn start() -> Self {
        let mut desktop = Self::start_mute();
        desktop.start_notifications();
        desktop
    }

    /// A desktop on which nobody shows notifications so far.
    #[must_use]
    pub fn start_mute() -> Self {
        let directory = tempfile::Builder::new().prefix("desktop-").tempdir().expect("directory");
        let path = |name: &str| directory.path().join(name);
        // Programs of other users connect to the bus as well.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("mode");

        write(&path("bus.conf"), BUS_CONFIG, "PATH", &path("bus"));
        let mut bus = Command::new("dbus-daemon");
        bus.arg("--config-file").arg(path("bus.conf")).args(["--nofork", "--print-address=1"]);
        let (bus, mut said) = Process::start(bus);
        let bus_address = said.line();

        let mut screen = Command::new("Xvfb");
        screen.args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "640x480x24"]);
        let (screen, mut said) = Process::start(screen);
        let display = format!(":{}", said.line());

        let script = SCRIPT.replace("PIPE", path("shown").to_str().expect("a UTF-8 path"));
        crate::program::write(&path("shown.sh"), &script);
        write(&path("dunstrc"), DUNST_CONFIG, "SCRIPT", &path("shown.sh"));
        Self {
            notifications: None,
            display,
            shown: Lines::new(pipe(&path("shown"))),
            _screen: screen,
            bus_address,
            _bus: bus,
            directory,
        }
    }

    /// The value of `DBUS_SESSION_BUS_ADDRESS` in this session.
    #[must_use]
    pub fn bus_address(&self) -> &str {
        &self.bus_address
    }

    /// Starts the notification daemon and waits until it serves.
    pub fn start_notifications(&mut self) {
        let mut monitor = self.command("dbus-monitor");
        monitor.args(["--address", &self.bus_address, OWNER_CHANGED]);
        let (_monitor, mut events) = Process::start(monitor);
        // The first event is about the monitor itself: from then on it hears everything.
        events.line();
        let mut dunst = self.command("dunst");
        dunst.arg("-conf").arg(self.directory.path().join("dunstrc"));
        self.notifications = Some(Process::start(dunst));
        while !events.line().contains("member=NameOwnerChanged") {}
    }

    /// Ends the notification daemon; what it showed is forgotten.
    pub fn stop_notifications(&mut self) {
        self.notifications = None;
    }

    /// Waits for the next notification that is shown.
    #[must_use]
    pub fn next_shown(&mut self) -> Notification {
        let [shown] = self.next_ones_shown();
        shown
    }

    /// Waits for the next ones, in the order in which they are shown: a script of its own tells of each.
    #[must_use]
    pub fn next_ones_shown<const COUNT: usize>(&mut self) -> [Notification; COUNT] {
        let mut shown: [(u32, Notification); COUNT] = std::array::from_fn(|_| {
            let id = self.shown.until(0).parse().expect("a number");
            let urgency = self.shown.until(0);
            let summary = self.shown.until(0);
            let body = self.shown.until(0);
            (id, Notification { urgency, summary, body })
        });
        shown.sort_by_key(|(id, _)| *id);
        shown.map(|(_, notification)| notification)
    }

    /// Everything that was shown since the notification daemon started, by its heading.
    #[must_use]
    pub fn history(&self) -> Vec<Notification> {
        self.ask("dunstctl", &["close-all"]);
        let history: Value =
            serde_json::from_str(&self.ask("dunstctl", &["history"])).expect("JSON");
        let text = |one: &Value, field: &str| one[field]["data"].as_str().expect("text").to_owned();
        let shown = history["data"][0].as_array().expect("a list").iter().map(|one| Notification {
            urgency: String::new(),
            summary: text(one, "summary"),
            body: text(one, "body"),
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort_by(|a, b| (&a.summary, &a.body).cmp(&(&b.summary, &b.body)));
        shown
    }

    /// Shows a notification the way a script would.
    pub fn send(&self, urgency: &str, summary: &str, body: &str) {
        self.ask("notify-send", &["--urgency", urgency, "--", summary, body]);
    }

    fn ask(&self, program: &str, args: &[&str]) -> String {
        crate::world::said(self.command(program).args(args)).ok()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus_address)
            .env("DISPLAY", &self.display)
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

fn write(path: &Path, template: &str, word: &str, value: &Path) {
    let content = template.replace(word, value.to_str().expect("a UTF-8 path"));
    fs::write(path, content).expect("write");
}

/// A named pipe that is never at its end, because we hold its other end as well.
fn pipe(path: &Path) -> File {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::from_raw_mode(0o622)).expect("pipe");
    fs::set_permissions(path, fs::Permissions::from_mode(0o622)).expect("mode");
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("flags");
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).expect("pipe")
}

/// A program of the session; ends when dropped.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> (Self, Lines) {
        let program = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
        let stdout = child.stdout.take().expect("a pipe");
        (Self(child), Lines::new(File::from(OwnedFd::from(stdout))))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not SIGKILL: the display removes its lock file.
        let pid = Pid::from_child(&self.0);
        kill_process(pid, Signal::TERM).ok();
        drop(self.0.wait());
    }
}

/// What somebody writes, part by part, with a limit to the patience.
#[derive(Debug)]
struct Lines {
    from: File,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(from: File) -> Self {
        Self { from, buffer: Vec::new() }
    }

    fn line(&mut self) -> String {
        self.until(b'\n')
    }

    fn until(&mut self, end: u8) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == end) {
                let part: Vec<u8> = self.buffer.drain(..=at).take(at).collect();
                return String::from_utf8(part).expect("UTF-8");
            }
            self.read(deadline);
        }
    }

    fn read(&mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("a short time");
        let mut ready = [PollFd::from_borrowed_fd(self.from.as_fd(), PollFlags::IN)];
        let ready = poll(&mut ready, Some(&left)).expect("poll");
        assert!(ready > 0, "waited in vain; so far: {:?}", String::from_utf8_lossy(&self.buffer));
        let mut bytes = [0; 4096];
        match self.from.read(&mut bytes) {
            Ok(0) => panic!("ended early; so far: {:?}", String::from_utf8_lossy(&self.buffer)),
            Ok(len) => self.buffer.extend_from_slice(&bytes[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("cannot read: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_told_and_remembered() {
        let mut desktop = Desktop::start();
        desktop.send("critical", "one", "a <b>b</b> &amp; c\nd");
        let shown = desktop.next_shown();
        assert_eq!(
            shown,
            Notification {
                urgency: "CRITICAL".to_owned(),
                summary: "one".to_owned(),
                body: "a <b>b</b> &amp; c\nd".to_owned(),
            }
        );
        desktop.send("normal", "one", "again");
        desktop.send("normal", "one", "again");
        for _ in 0..2 {
            assert_eq!(desktop.next_shown().body, "again");
        }
        let bodies: Vec<_> = desktop.history().into_iter().map(|one| one.body).collect();
        assert_eq!(bodies, [shown.body.as_str(), "again", "again"]);
    }
}
