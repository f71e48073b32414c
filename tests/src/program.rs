//! Scripts that a test writes and runs.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Writes a program, by another process: what another test starts meanwhile would have it open for
/// writing, and a program that somebody writes cannot be executed.
///
/// # Panics
///
/// Where it cannot be written.
pub fn write(path: &Path, script: &str) {
    let mut install = Command::new("/usr/bin/install");
    install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut install = install.spawn().expect("install");
    let mut input = install.stdin.take().expect("stdin");
    input.write_all(script.as_bytes()).expect("written");
    drop(input);
    assert!(install.wait().expect("install").success(), "no {}", path.display());
}
