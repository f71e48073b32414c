//! A terminal for a command: what it would be told to do.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::world::World;

/// Makes a terminal; returns our end and the path of the other one.
pub(crate) fn open() -> (OwnedFd, PathBuf) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).expect("a terminal");
    grantpt(&ours).expect("grant");
    unlockpt(&ours).expect("unlock");
    let name = ptsname(&ours, Vec::new()).expect("its name").into_string().expect("text");
    (ours, name.into())
}

/// Reads what a terminal got until nobody has its other end any more.
pub(crate) fn shown(ours: OwnedFd) -> Vec<u8> {
    let mut shown = Vec::new();
    let end = File::from(ours).read_to_end(&mut shown).expect_err("nobody is left who writes");
    assert_eq!(end.raw_os_error(), Some(libc::EIO), "{end}");
    shown
}

/// Runs a command whose output and errors go to a terminal; returns what the terminal got.
///
/// # Panics
///
/// Where there are no terminals or the command cannot be run.
#[must_use]
pub fn on_terminal(command: &mut Command) -> Vec<u8> {
    let (ours, path) = open();
    let theirs = || -> OwnedFd {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::empty()).expect("open")
    };
    command.stdin(Stdio::null()).stdout(theirs()).stderr(theirs());
    let mut child = command.spawn().expect("spawn");
    // Ours would keep it from ending.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let shown = shown(ours);
    child.wait().expect("wait");
    shown
}

/// What of this a terminal would act upon: everything but text, tabs, ends of lines and colours.
#[must_use]
pub fn acts(shown: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(shown) else { return vec!["no UTF-8".to_owned()] };
    // The terminal itself makes the one of the other.
    let text = text.replace("\r\n", "\n");
    let (mut found, mut rest) = (Vec::new(), text.as_str());
    let acts = |c: char| handoff_proto::path::is_harmful(c) && !matches!(c, '\n' | '\t');
    while let Some(at) = rest.find(acts) {
        let tail = &rest[at..];
        let colour = tail.strip_prefix("\x1b[").and_then(|parameters| {
            parameters.trim_start_matches(|c: char| "0123456789;:".contains(c)).strip_prefix('m')
        });
        rest = colour.unwrap_or_else(|| {
            found.push(tail.chars().take(20).collect());
            let mut after = tail.chars();
            after.next();
            after.as_str()
        });
    }
    found
}

/// How long something may take to be shown. Only a test that fails waits as long.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

/// How often a key is typed.
const TYPED_MAX: u32 = 10;

fn resize(terminal: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a size");
}

/// Somebody at a terminal of their own, in which one command runs.
#[derive(Debug)]
pub struct Seat {
    ours: OwnedFd,
    child: Child,
    shown: Vec<u8>,
    /// Up to where it was looked at.
    seen: usize,
}

impl Seat {
    /// Starts a command in a terminal of this size, which controls it.
    ///
    /// # Panics
    ///
    /// Where there are no terminals or the command cannot be run.
    #[must_use]
    pub fn take(mut command: Command, rows: u16, columns: u16) -> Self {
        let (ours, path) = open();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = || rustix::fs::open(&path, flags, Mode::empty()).expect("open");
        command.stdin(theirs()).stdout(theirs()).stderr(theirs());
        resize(&ours, rows, columns);
        let child = command.spawn().expect("spawn");
        Self { ours, child, shown: Vec::new(), seen: 0 }
    }

    /// Starts `handoff` in a terminal.
    #[must_use]
    pub fn handoff(world: &World, directory: &Path, args: &[&str]) -> Self {
        // Of its own session: a terminal tells of its size only whom it controls.
        let mut command = world.command(directory, "setsid");
        command.args(["--ctty", "--wait", "handoff"]).args(args).env("TERM", "xterm-256color");
        Self::take(command, 24, 80)
    }

    /// Changes the size.
    ///
    /// # Panics
    ///
    /// Where the terminal has gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.ours, rows, columns);
    }

    /// Types.
    ///
    /// # Panics
    ///
    /// Where the terminal has gone.
    pub fn types(&self, keys: &str) {
        let mut keys = keys.as_bytes();
        while !keys.is_empty() {
            let written = rustix::io::write(&self.ours, keys).expect("type");
            keys = &keys[written..];
        }
    }

    /// Waits until this is shown, behind what was waited for before.
    ///
    /// # Panics
    ///
    /// Where it never is.
    pub fn until(&mut self, text: &str) {
        assert!(self.shows(text, SHOWN_WITHIN), "no {text:?} in {:?}", self.shown());
    }

    /// Types this, and again until that is shown: a program that is told of its window's size in the
    /// moment in which it reads may lose a key, as `less` does.
    ///
    /// # Panics
    ///
    /// Where it never is.
    pub fn types_until(&mut self, keys: &str, text: &str) {
        for _ in 0..TYPED_MAX {
            self.types(keys);
            if self.shows(text, SHOWN_WITHIN / TYPED_MAX) {
                return;
            }
        }
        panic!("no {text:?} in {:?}", self.shown());
    }

    fn shows(&mut self, text: &str, within: Duration) -> bool {
        let until = Instant::now() + within;
        loop {
            let new = &self.shown[self.seen..];
            if let Some(at) = new.windows(text.len()).position(|part| part == text.as_bytes()) {
                self.seen += at + text.len();
                return true;
            }
            if !self.read(until) {
                return false;
            }
        }
    }

    /// Waits for its end; returns the exit code.
    ///
    /// # Panics
    ///
    /// Where it does not end.
    pub fn ends(&mut self) -> i32 {
        let until = Instant::now() + SHOWN_WITHIN;
        while self.read(until) {}
        assert!(Instant::now() < until, "it goes on: {:?}", self.shown());
        self.child.wait().expect("an end").code().unwrap_or(-1)
    }

    /// All that was shown.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Whether keys are shown and lines edited here, as a shell expects it.
    ///
    /// # Panics
    ///
    /// Where the terminal has gone.
    #[must_use]
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.ours).expect("modes").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Reads once; false where there is nothing any more, or not in time.
    fn read(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("a short time");
        let mut ready = [PollFd::new(&self.ours, PollFlags::IN)];
        let mut bytes = [0; 4096];
        match poll(&mut ready, Some(&timeout)) {
            Ok(1..) => match rustix::io::read(&self.ours, &mut bytes) {
                Ok(read) => {
                    self.shown.extend_from_slice(&bytes[..read]);
                    read > 0
                }
                Err(_nobody_is_left) => false,
            },
            Ok(_) | Err(_) => false,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
