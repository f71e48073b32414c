//! Init: process 1 of the jail. Checks every promise, starts the command, reaps whatever loses its
//! parent, and reports the end. Nothing of the command's choosing runs before the last check.

mod check;
mod command;
mod landlock;
mod terminal;
mod watch;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::process::{
    DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal,
};

use crate::channel::Channel;
use crate::entry::REFUSED;
use crate::handover::{self, Descriptors, ForInit};
use crate::report::{Refusal, Refuse as _, Report, Step};
use crate::sys;
use terminal::Terminal;

/// Runs init; returns when the jail is to end.
pub(crate) fn run(descriptors: Descriptors) -> ExitCode {
    let Descriptors { description, channel, stdin, stdout, stderr } = descriptors;
    let mut channel = Channel::new(channel);
    let streams = [stdin, stdout, stderr];
    let report = match supervise(description, &mut channel, streams) {
        Ok(report) => report,
        Err(refusal) => Some(Report::Refused(refusal)),
    };
    let refused = matches!(report, Some(Report::Refused(_)));
    if let Some(report) = report {
        // A caller that has gone needs no report.
        let _gone = channel.send(&report);
    }
    watch::clear();
    if refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS }
}

/// Takes every step; returns the last report, or none if the caller has gone.
fn supervise(
    description: OwnedFd,
    channel: &mut Channel,
    streams: [OwnedFd; 3],
) -> Result<Option<Report>, Refusal> {
    // First of all: from now on no process of the jail can look into this one.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .refuse(Step::SelfCheck, "hide from other processes")?;
    // Bubblewrap is what the caller waits for; a jail must not go on without it.
    set_parent_process_death_signal(Some(Signal::KILL))
        .refuse(Step::SelfCheck, "die with bubblewrap")?;
    let told: ForInit = handover::read(description).refuse(Step::Handover, "read the policy")?;
    let open = check::Descriptors::expected(channel, &streams);
    let mut layers = check::everything(&told, &open)?;
    let terminal = told.spec.terminal.map(Terminal::open).transpose()?;
    let streams = match &terminal {
        Some(terminal) => terminal.streams()?,
        None => streams,
    };
    layers.push(landlock::enforce(&told.spec, &streams));
    let isolation = check::required(&told, layers)?;
    let prepared = command::prepare(&told.spec, streams)?;
    let signals = sys::catch_signals(&watch::SIGNALS).refuse(Step::Command, "catch signals")?;
    let ready = Report::Ready { isolation };
    let sent = match &terminal {
        Some(terminal) => channel.send_with(&ready, &[terminal.outer()]),
        None => channel.send(&ready),
    };
    sent.refuse(Step::Handover, "report")?;
    let _held_open = terminal.map(Terminal::keep_inner);
    let leader = prepared.start()?;
    watch::until_end(leader, channel, &signals)
}
