//! Programs that a test makes and runs. Not written by the test itself: what another one starts
//! meanwhile would have them open for writing, and what somebody writes cannot be executed.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Gives a program another name, or copies it where that is on another file system.
///
/// # Panics
///
/// Where it cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    if std::fs::hard_link(from, to).is_err() {
        let mut install = Command::new("/usr/bin/install");
        install.args(["-m", "755"]).arg(from).arg(to);
        assert!(install.status().expect("install").success(), "no {}", to.display());
    }
}

/// Writes a script.
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
