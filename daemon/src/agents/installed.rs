//! The agents' programs on this machine: whether one starts, and of what version it is.

use std::{
    collections::HashMap,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    time::SystemTime,
};

use handoff_proto::path::AbsolutePath;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process_group},
};

/// How long a program has to tell its version, in seconds: agents are hundreds of megabytes, which
/// may come from a slow disk.
const PATIENCE_SECONDS: i64 = 20;

/// What it may say, in bytes.
const WORDS_MAX: usize = 4096;

/// Directories of the system's programs, as runs search them.
const SYSTEM: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// A version, as far as it counts: whether a session can be opened has never hung on the last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u64,
    minor: u64,
}

impl Version {
    /// The first version in a text, such as `2.1` in `codex-cli 2.1.330`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split(|letter: char| !letter.is_ascii_digit() && letter != '.').find_map(|word| {
            let mut parts = word.split('.').map(|part| part.parse().ok());
            let (major, minor) = (parts.next()??, parts.next()??);
            Some(Self { major, minor })
        })
    }
}

/// The file of a program that runs would start.
pub(crate) fn find(program: &str, tools: &[AbsolutePath]) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let directories = tools.iter().map(AbsolutePath::as_os_path).chain(SYSTEM.map(Path::new));
    directories.map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// What a program says of its version; blocks. It is asked once, until its file changes.
///
/// # Errors
///
/// Why it says nothing.
pub(crate) fn version(program: &Path) -> Result<String, String> {
    type Told = HashMap<PathBuf, (SystemTime, Result<String, String>)>;
    static TOLD: OnceLock<Mutex<Told>> = OnceLock::new();
    let modified = program.metadata().and_then(|meta| meta.modified());
    let modified = modified.map_err(|error| error.to_string())?;
    let told = TOLD.get_or_init(Mutex::default);
    let known = told.lock().unwrap_or_else(PoisonError::into_inner).get(program).cloned();
    if let Some((at, said)) = known
        && at == modified
    {
        return said;
    }
    let said = ask(program);
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.insert(program.to_owned(), (modified, said.clone()));
    said
}

fn ask(program: &Path) -> Result<String, String> {
    use std::os::unix::process::CommandExt as _;
    // Even then some write into their home.
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut asking = Command::new(program);
    asking.arg("--version").env_clear().env("PATH", SYSTEM.join(":")).env("HOME", home.path());
    asking.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut child = asking.spawn().map_err(|error| error.to_string())?;
    let Some(stdout) = child.stdout.take() else { return Err("it has no output".to_owned()) };
    let patience = Timespec { tv_sec: PATIENCE_SECONDS, tv_nsec: 0 };
    let in_time = poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&patience));
    let mut words = String::new();
    if in_time.is_ok_and(|ready| ready > 0) {
        // What it says first is enough.
        let mut buffer = [0; WORDS_MAX];
        let count = { stdout }.read(&mut buffer).unwrap_or_default();
        words = String::from_utf8_lossy(&buffer[..count]).trim().to_owned();
    }
    // Whatever it still does, nobody waits for it.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _gone = kill_process_group(group, Signal::KILL);
    }
    let ended = child.wait().map_err(|error| error.to_string())?;
    match words.lines().next() {
        Some(first) => Ok(first.chars().take(100).collect()),
        None => Err(format!("it tells no version: {ended}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_what_counts() {
        let of = |text| Version::parse(text);
        assert_eq!(of("2.1.330 (Claude Code)"), Some(Version { major: 2, minor: 1 }));
        assert_eq!(of("codex-cli 0.169.0"), Some(Version { major: 0, minor: 169 }));
        assert!(of("2.1.330") == of("2.1.197") && of("0.99.1") < of("0.169.0"));
        assert_eq!(of("no version"), None);
        assert_eq!(of("7"), None);
    }

    #[test]
    fn a_program_is_asked_and_one_that_says_nothing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let path = directory.path().join(name);
            // Not written here: what another test starts meanwhile would have it open for writing.
            let mut write = Command::new("sh");
            write.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\""]);
            assert!(write.arg(&path).arg(script).status().unwrap().success());
            path
        };
        assert_eq!(version(&program("a", "echo 'agent 1.2.3'; sleep 60")).unwrap(), "agent 1.2.3");
        assert!(version(&program("b", "exit 3")).unwrap_err().contains("3"));
        assert!(version(&directory.path().join("c")).is_err());
    }
}
