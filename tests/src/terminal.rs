//! A terminal for a command: what it would be told to do.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Runs a command whose output and errors go to a terminal; returns what the terminal got.
///
/// # Panics
///
/// Where there are no terminals or the command cannot be run.
#[must_use]
pub fn on_terminal(command: &mut Command) -> Vec<u8> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).expect("grant");
    unlockpt(&master).expect("unlock");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let name = std::ffi::OsStr::from_bytes(name.as_bytes());
    let open = || -> OwnedFd {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(name, flags, Mode::empty()).expect("open")
    };
    command.stdin(Stdio::null()).stdout(open()).stderr(open());
    let mut child = command.spawn().expect("spawn");
    // Ours would keep it from ending.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (mut master, mut shown, mut buffer) = (File::from(master), Vec::new(), [0; 4096]);
    loop {
        match master.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => shown.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Nobody has the other end any more.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
            Err(error) => panic!("read the terminal: {error}"),
        }
    }
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
