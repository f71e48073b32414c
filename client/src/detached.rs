//! Runs a program that outlives us: in a session of its own, so that no terminal takes it along.
//!
//! Our own binary is run with a first word that only we use; it starts a session and becomes the
//! program. That needs no call between fork and exec.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// The first word; no option of ours, so that it never hides a command.
const WORD: &str = "--become-detached";

/// The program to run in place of the one wanted.
///
/// # Errors
///
/// Where our own program is not known.
pub fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The arguments that make [`program`] become the program wanted, whose words these are.
pub fn arguments(words: impl IntoIterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    std::iter::once(OsString::from(WORD)).chain(words)
}

/// Becomes another program if the words of the command line ask for it; returns only if that
/// fails, or if they do not.
pub fn become_if_asked(words: &[OsString]) -> Option<io::Error> {
    if words.get(1).map(OsString::as_os_str) != Some(OsStr::new(WORD)) {
        return None;
    }
    if let Err(error) = rustix::process::setsid() {
        return Some(error.into());
    }
    let program = words.get(2)?;
    Some(Command::new(program).args(&words[3..]).exec())
}
