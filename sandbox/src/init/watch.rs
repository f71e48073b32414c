//! Watches over the jail while the command runs: reaps, forwards, and notices the end.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::channel::{Channel, Received};
use crate::report::{ExitStatus, Order, Refusal, Refuse as _, Report, Step};
use crate::sys;

/// The signals that init reads instead of suffering them. All but the first go on to the command.
pub(super) const SIGNALS: [i32; 7] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Size of the kernel's description of one signal, whose first word is the number.
const SIGNAL_BYTES: usize = 128;

/// Waits until the command has ended or the caller has gone; returns the report in the first case.
pub(super) fn until_end(
    leader: Pid,
    channel: &mut Channel,
    signals: &OwnedFd,
) -> Result<Option<Report>, Refusal> {
    loop {
        if let Some(status) = reap(leader) {
            return Ok(Some(Report::Exited(status)));
        }
        let mut ready =
            [PollFd::new(signals, PollFlags::IN), PollFd::new(&*channel, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut ready, None)).refuse(Step::Command, "wait")?;
        while let Some(signal) = next_signal(signals) {
            if signal != libc::SIGCHLD {
                sys::signal_group(leader, signal);
            }
        }
        if follow_orders(leader, channel).is_none() {
            return Ok(None);
        }
    }
}

/// Kills whatever is left and waits until it is gone.
pub(super) fn clear() {
    sys::kill_everything();
    while wait(WaitOptions::empty()).is_ok() {}
}

/// Collects every process that has ended; returns how the command ended, if it has.
fn reap(leader: Pid) -> Option<ExitStatus> {
    let mut end = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == leader {
            end = exit_status(status).or(end);
        }
    }
    end
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let code = status.exit_status().map(ExitStatus::Code);
    code.or_else(|| status.terminating_signal().map(ExitStatus::Signal))
}

fn next_signal(signals: &OwnedFd) -> Option<i32> {
    let mut description = [0_u8; SIGNAL_BYTES];
    match rustix::io::retry_on_intr(|| rustix::io::read(signals, &mut description)) {
        Ok(SIGNAL_BYTES) => {
            let [a, b, c, d, ..] = description;
            Some(i32::from_ne_bytes([a, b, c, d]))
        }
        Ok(_) | Err(Errno::AGAIN | _) => None,
    }
}

/// Does what the caller asks; returns nothing once the caller has gone.
fn follow_orders(leader: Pid, channel: &mut Channel) -> Option<()> {
    loop {
        match channel.receive::<Order>() {
            Ok(Received::Message(Order::Signal(signal))) => sys::signal_group(leader, signal),
            Ok(Received::NothingYet) => return Some(()),
            Ok(Received::Closed) | Err(_) => return None,
        }
    }
}
