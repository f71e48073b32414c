//! Processes that a test looks for, or ends.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, getsid, kill_process, pidfd_open},
};

/// How long a process may take to end, in seconds.
const END_MAX: i64 = 60;

/// Kills a process, and waits until it is gone: what is dying still accepts connections.
///
/// # Panics
///
/// Where it does not end.
#[track_caller]
pub fn kill(pid: Pid) {
    ends(pid, || kill_process(pid, Signal::KILL).expect("kill"));
}

/// Waits until a process is gone, which this makes it be.
///
/// # Panics
///
/// Where it does not end.
#[track_caller]
pub fn ends(pid: Pid, act: impl FnOnce()) {
    let end = pidfd_open(pid, PidfdFlags::empty()).expect("hold the process");
    act();
    let limit = Timespec { tv_sec: END_MAX, tv_nsec: 0 };
    let mut ended = [PollFd::new(&end, PollFlags::IN)];
    assert_eq!(poll(&mut ended, Some(&limit)).expect("wait"), 1, "{pid:?} does not end");
}

/// The supervisor of a job.
///
/// # Panics
///
/// Where there is none.
#[must_use]
pub fn supervisor(job: &Path) -> Pid {
    let mut found = leading(&["supervise-detached".as_ref(), job.as_os_str()]);
    found.next().unwrap_or_else(|| panic!("no supervisor of {}", job.display()))
}

/// Processes whose command line has all of these words and that lead a session: a child looks like its
/// parent until it executes another program.
pub(crate) fn leading(words: &[&OsStr]) -> impl Iterator<Item = Pid> + use<> {
    with(words).into_iter().filter(|pid| getsid(Some(*pid)).is_ok_and(|session| session == *pid))
}

/// Processes whose command line has all of these words.
///
/// # Panics
///
/// Where there is no `/proc`.
#[must_use]
pub fn with(words: &[&OsStr]) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let found = processes.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let has = |word: &&OsStr| line.split(|byte| *byte == 0).any(|one| one == word.as_bytes());
        words.iter().all(has).then_some(pid)
    });
    found.collect()
}
