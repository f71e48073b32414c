//! A run that was started, as its caller holds it: what it reports, signals to it, its end. Runs
//! nothing itself and waits only where it says so.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::Child;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::cgroup::Cgroup;
use crate::channel::{Channel, Received};
use crate::doors::Doors;
use crate::report::{ExitStatus, Order, Refusal, Report, Step};

/// How much of what bubblewrap says is kept for a refusal.
const COMPLAINT_MAX: u64 = 4096;

/// Holds a run that was started. Dropping it kills the run.
#[derive(Debug)]
pub struct Running {
    child: Child,
    channel: Channel,
    complaints: File,
    host_uid: u32,
    cgroup: Option<Cgroup>,
    doors: Option<Doors>,
    terminal: Option<OwnedFd>,
    progress: Progress,
    /// Set once the run is to be killed: an init that reports only then is killed as well.
    doomed: bool,
}

/// How far the run is, by its own reports.
#[derive(Debug)]
enum Progress {
    Starting,
    /// Without init if that had gone before we could take hold of it.
    Started {
        init: Option<Init>,
    },
    Ended(Ended, Option<Init>),
}

/// Process 1 of the jail, seen from outside.
#[derive(Debug)]
struct Init {
    pid: Pid,
    handle: OwnedFd,
}

/// What a look at the reports finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// This came.
    Report(Report),
    /// Nothing new; poll [`Running::report_fd`].
    Pending,
    /// Nothing will come any more; what counts is in here.
    Ended(Ended),
}

/// Tells how a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The command was never run.
    Refused(Refusal),
    /// The command ended by itself.
    Exited(ExitStatus),
    /// The jail went away without a word: killed, from here or by the kernel.
    WithoutReport,
}

/// Says what was wrong with the reports of a run. The run cannot be trusted: kill it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A report came out of turn.
    #[error("expected {expected}, got {got}")]
    Unexpected {
        /// What could have come.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
    /// Init does not run as who it should.
    #[error("init runs as host uid {got} instead of {expected}")]
    Identity {
        /// The uid of the policy.
        expected: u32,
        /// The uid that the kernel tells.
        got: u32,
    },
    /// The channel cannot be read.
    #[error("read the reports: {0}")]
    Channel(#[from] io::Error),
}

impl Running {
    pub(crate) fn new(
        child: Child,
        channel: Channel,
        complaints: File,
        host_uid: u32,
        cgroup: Option<Cgroup>,
    ) -> Self {
        let progress = Progress::Starting;
        let (doors, terminal, doomed) = (None, None, false);
        Self { child, channel, complaints, host_uid, cgroup, doors, terminal, progress, doomed }
    }

    /// Returns the process that holds the jail from outside (stage-0, later bubblewrap).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns process 1 of the jail by its number on the host, once the run is ready.
    #[must_use]
    pub fn init_pid(&self) -> Option<u32> {
        self.init().map(|init| init.pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Returns the descriptor that becomes readable when [`Running::next`] has something.
    #[must_use]
    pub fn report_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Takes the doors of a fenced network, once they were reported.
    pub fn take_doors(&mut self) -> Option<Doors> {
        self.doors.take()
    }

    /// Takes the outer end of the command's terminal, once the run is ready and if it has one:
    /// what is written to it is typed, what is read from it is shown. Reading fails with `EIO` once
    /// nothing of the run is left.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Returns the next report if there is one; never waits.
    ///
    /// # Errors
    ///
    /// Fails if what comes is not what can come; the run is to be killed then.
    #[expect(clippy::should_implement_trait, reason = "no iterator: the next may be pending")]
    pub fn next(&mut self) -> Result<Next, ReportError> {
        match self.channel.receive::<Report>()? {
            Received::NothingYet => Ok(Next::Pending),
            Received::Message(report) => {
                self.accept(&report)?;
                Ok(Next::Report(report))
            }
            Received::Closed => self.closed(),
        }
    }

    /// Waits for the next report; `None` is the end.
    ///
    /// # Errors
    ///
    /// Fails as [`Running::next`] does.
    pub fn recv(&mut self) -> Result<Option<Report>, ReportError> {
        loop {
            match self.next()? {
                Next::Report(report) => return Ok(Some(report)),
                Next::Ended(_) => return Ok(None),
                Next::Pending => self.channel.wait()?,
            }
        }
    }

    /// Waits until no process of the run is left and returns how it ended.
    ///
    /// # Errors
    ///
    /// Fails as [`Running::next`] does, or if the child cannot be waited for.
    pub fn wait(&mut self) -> Result<Ended, ReportError> {
        loop {
            match self.next()? {
                Next::Report(_) => {}
                Next::Pending => self.channel.wait()?,
                Next::Ended(ended) => {
                    self.reap()?;
                    return Ok(ended);
                }
            }
        }
    }

    /// Sends a signal to the command's process group. Before the command has started, the signal
    /// waits for it.
    ///
    /// # Errors
    ///
    /// Fails with `EPIPE` if the run has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.channel.send(&Order::Signal(signal.as_raw()))
    }

    /// Kills every process of the run. [`Running::wait`] tells when all is over.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not accept the signal; a run that has ended is no error.
    pub fn kill(&mut self) -> io::Result<()> {
        self.doomed = true;
        if let Some(init) = self.init() {
            // Process 1 takes every process of the jail with it, and bubblewrap ends in order.
            init.kill()?;
        } else {
            // Stage-0 or bubblewrap, and what it has forked so far, are one process group. The
            // child was not waited for, so its number is still its own.
            let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            if let (Some(group), None) = (group, self.child.try_wait()?) {
                gone_is_fine(kill_process_group(group, Signal::KILL))?;
            }
            // An init that was on its way out of that group by then ends with the channel.
            if !matches!(self.progress, Progress::Starting) {
                self.channel.hang_up()?;
            }
        }
        self.cgroup.as_ref().map_or(Ok(()), Cgroup::kill)
    }

    /// Kills what is left, waits for it and removes the control group. Does nothing the second
    /// time.
    ///
    /// # Errors
    ///
    /// Fails if processes cannot be killed or the group cannot be removed.
    pub fn cleanup(&mut self) -> io::Result<()> {
        self.kill()?;
        // Reports that make no sense do not matter any more; that the channel is closed does.
        while let Ok(next) = self.next() {
            match next {
                Next::Report(_) => {}
                Next::Pending => self.channel.wait()?,
                Next::Ended(_) => break,
            }
        }
        self.reap()?;
        match self.cgroup.take() {
            Some(cgroup) => cgroup.remove(),
            None => Ok(()),
        }
    }

    /// Tells how often the kernel killed a process of the run for want of memory, where there is a
    /// control group that counts it.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        self.cgroup.as_ref().and_then(Cgroup::oom_kills)
    }

    fn init(&self) -> Option<&Init> {
        match &self.progress {
            Progress::Started { init } | Progress::Ended(_, init) => init.as_ref(),
            Progress::Starting => None,
        }
    }

    /// Checks a report against what came before.
    fn accept(&mut self, report: &Report) -> Result<(), ReportError> {
        let progress = std::mem::replace(&mut self.progress, Progress::Starting);
        self.progress = match (progress, report) {
            (Progress::Starting, Report::Doors) => {
                self.doors = Doors::from_descriptors(self.channel.take_descriptors());
                Progress::Starting
            }
            (Progress::Starting, Report::Ready { .. }) => {
                let init = self.identify()?;
                self.terminal = self.channel.take_descriptors().pop();
                self.progress = Progress::Started { init };
                return if self.doomed { Ok(self.kill()?) } else { Ok(()) };
            }
            (Progress::Starting, Report::Refused(refusal)) => {
                Progress::Ended(Ended::Refused(refusal.clone()), None)
            }
            (Progress::Started { init }, Report::Refused(refusal)) => {
                Progress::Ended(Ended::Refused(refusal.clone()), init)
            }
            (Progress::Started { init }, Report::Exited(status)) => {
                Progress::Ended(Ended::Exited(*status), init)
            }
            (earlier, report) => {
                let expected = earlier.expects();
                self.progress = earlier;
                return Err(ReportError::Unexpected { expected, got: report.kind() });
            }
        };
        Ok(())
    }

    /// Checks who reported, which is init, and takes hold of it if it is still there.
    fn identify(&self) -> Result<Option<Init>, ReportError> {
        let sender = self
            .channel
            .sender()
            .ok_or_else(|| io::Error::other("the kernel did not tell who reported"))?;
        if sender.uid.as_raw() != self.host_uid || self.host_uid == 0 {
            let got = sender.uid.as_raw();
            return Err(ReportError::Identity { expected: self.host_uid, got });
        }
        match pidfd_open(sender.pid, PidfdFlags::empty()) {
            // The number may be another's by now. Bubblewrap's is not, as we have not waited for
            // it, and its only child is init.
            Ok(handle) if parent_of(sender.pid) == Some(self.child.id()) => {
                Ok(Some(Init { pid: sender.pid, handle }))
            }
            Ok(_) | Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Says what the end of the channel means.
    fn closed(&mut self) -> Result<Next, ReportError> {
        let progress = std::mem::replace(&mut self.progress, Progress::Starting);
        self.progress = match progress {
            Progress::Starting if self.doomed => Progress::Ended(Ended::WithoutReport, None),
            Progress::Starting => {
                let refusal = Refusal::new(Step::Bubblewrap, self.complaint());
                self.progress = Progress::Ended(Ended::Refused(refusal.clone()), None);
                return Ok(Next::Report(Report::Refused(refusal)));
            }
            Progress::Started { init } => Progress::Ended(Ended::WithoutReport, init),
            ended @ Progress::Ended(..) => ended,
        };
        match &self.progress {
            Progress::Ended(ended, _) => Ok(Next::Ended(ended.clone())),
            Progress::Starting | Progress::Started { .. } => Ok(Next::Pending),
        }
    }

    /// Returns what bubblewrap or a stage wrote before it died.
    fn complaint(&mut self) -> String {
        let mut bytes = Vec::new();
        // Whatever was read before an error is all that there is to say.
        let _unreadable = (&mut self.complaints).take(COMPLAINT_MAX).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        match text.trim() {
            "" => "ended before the run was ready, without saying why".into(),
            text => text.replace(|c: char| c.is_control() && c != '\n', " "),
        }
    }

    /// Waits for the child and for process 1 of the jail, which ends last.
    fn reap(&mut self) -> io::Result<()> {
        self.child.wait()?;
        if let Some(init) = self.init() {
            let mut ended = [PollFd::new(&init.handle, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut ended, None))?;
        }
        Ok(())
    }
}

impl Init {
    fn kill(&self) -> io::Result<()> {
        gone_is_fine(pidfd_send_signal(&self.handle, Signal::KILL))
    }
}

/// Returns the parent of a process, the fourth word of `/proc/PID/stat`; the second one is a name
/// in parentheses, which may contain anything.
fn parent_of(pid: Pid) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

fn gone_is_fine(sent: Result<(), Errno>) -> io::Result<()> {
    match sent {
        Err(Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

impl Progress {
    const fn expects(&self) -> &'static str {
        match self {
            Self::Starting => "ready or refused",
            Self::Started { .. } => "exited or refused",
            Self::Ended(..) => "nothing more",
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // There is nobody left to tell; the next run of this name clears what stayed behind.
        let _ignored = self.cleanup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_process_is_found() {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        let parent = parent.and_then(|pid| u32::try_from(pid).ok());
        assert_eq!(parent_of(rustix::process::getpid()), parent);
    }
}
