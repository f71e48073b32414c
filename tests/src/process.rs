//! Processes of the product that a test ends.

use std::path::Path;

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
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let found = processes.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let is_it = words.contains(&&b"supervise-detached"[..])
            && words.contains(&job.as_os_str().as_encoded_bytes());
        // Its child looks the same until it executes another program.
        let leads = || getsid(Some(pid)).is_ok_and(|session| session == pid);
        (is_it && leads()).then_some(pid)
    });
    found.last().unwrap_or_else(|| panic!("no supervisor of {}", job.display()))
}
