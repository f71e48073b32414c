//! A terminal for a command: what it would be told to do.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

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
