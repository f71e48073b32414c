//! All that others can see of a job: its output, its state, how it ended, and those attached who
//! are told of it. Files come first: nobody hears of what is not on disk. Runs nothing.

use std::io;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::fs::FlockOperation;

use super::clients::Clients;
use super::complain;
use crate::egress::{Notice, Summary};
use crate::supervisor::job::{JobExit, OutputTotals};
use crate::supervisor::job_dir::{EXIT, JobDir, Lock, STARTED};
use crate::supervisor::message::{FromSupervisor, Phase, State, ToSupervisor, Typist};
use crate::supervisor::output::{Stream, Writer};
use crate::supervisor::rights::Rights;

/// How long to wait between attempts to write down the end.
const EXIT_RETRY: Duration = Duration::from_secs(1);

/// How often to try: a full disk may be emptied, and until then who attaches is told.
const EXIT_ATTEMPTS_MAX: u32 = 600;

/// What others see.
#[derive(Debug)]
pub(super) struct Front {
    job_dir: JobDir,
    phase: Phase,
    output: Writer,
    output_limited: bool,
    egress: Summary,
    egress_is_news: bool,
    clients: Clients,
}

impl Front {
    pub(super) fn new(job_dir: JobDir, output: Writer, listener: UnixListener) -> Self {
        let clients = Clients::new(listener, job_dir.rights());
        Self {
            job_dir,
            phase: Phase::SettingUp { step: String::new() },
            output,
            output_limited: false,
            egress: Summary::default(),
            egress_is_news: false,
            clients,
        }
    }

    /// Lists what to poll before [`Front::serve`].
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.clients.poll_fds()
    }

    /// Whether somebody tells when the command waits for its user.
    pub(super) fn is_followed(&self) -> bool {
        self.clients.is_followed()
    }

    /// Shows how far the job is.
    pub(super) fn enter(&mut self, phase: Phase) {
        if let Phase::Running { isolation } = &phase {
            if let Err(error) = self.job_dir.write_json(STARTED, isolation) {
                complain("write what holds the command in", &error);
            }
            self.clients.tell(&FromSupervisor::Started { isolation: isolation.clone() });
        }
        self.phase = phase;
    }

    /// Tells a typist how far they have come.
    pub(super) fn tell_typed(&mut self, typist: &Typist) {
        self.clients.tell_typed(typist);
    }

    /// Tells a typist what to type again.
    pub(super) fn tell_untaken(&mut self, typist: &Typist) {
        self.clients.tell_untaken(typist);
    }

    /// Keeps output, as far as there is room; the rest is shown to those who look.
    pub(super) fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        let before = self.output.totals().dropped_bytes;
        if let Err(error) = self.output.append(stream, bytes) {
            complain("write output", &error);
        }
        let OutputTotals { end, dropped_bytes, .. } = self.output.totals();
        let dropped = usize::try_from(dropped_bytes - before).unwrap_or(bytes.len());
        if dropped > 0 {
            // A person at its terminal goes on seeing what they do.
            self.clients.show_unkept(end, &bytes[bytes.len() - dropped..]);
        }
    }

    /// Shows what a step was denied, or used.
    pub(super) fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::Denied(denial) => {
                if !self.egress.deny(denial) {
                    return;
                }
            }
            Notice::Usage(used) => self.egress.add(&used),
            Notice::Stale(stale) => {
                if !self.egress.expire(stale) {
                    return;
                }
            }
        }
        // Told with the next round: a busy run uses an API many times between two of them.
        self.egress_is_news = true;
    }

    /// Shows that nobody waits for this provider's sign-in any more.
    pub(super) fn renewed(&mut self, provider: &str) {
        self.egress.renewed(provider);
    }

    /// Tells what steps were denied, and used.
    pub(super) fn egress(&self) -> Summary {
        self.egress.clone()
    }

    /// Returns the rights that the job's files are touched with.
    pub(super) const fn rights(&self) -> Rights {
        self.job_dir.rights()
    }

    /// Tells how much output there is.
    pub(super) const fn output(&self) -> OutputTotals {
        self.output.totals()
    }

    /// Tells those attached what is new, and returns what they ask for.
    ///
    /// `inputs` are the names of the pieces of input that were taken, `typists` those who type.
    pub(super) fn serve(
        &mut self,
        inputs: impl Fn() -> Vec<String>,
        typists: impl Fn() -> Vec<Typist>,
    ) -> Vec<ToSupervisor> {
        let OutputTotals { end, dropped_bytes, .. } = self.output.totals();
        self.clients.tell_output(end);
        if dropped_bytes > 0 && !std::mem::replace(&mut self.output_limited, true) {
            self.clients.tell(&FromSupervisor::OutputLimited);
        }
        if std::mem::take(&mut self.egress_is_news) {
            self.clients.tell(&FromSupervisor::Egress { summary: self.egress.clone() });
        }
        let output_tail = self.output.tail();
        let Self { clients, phase, output_limited, egress, .. } = self;
        clients.serve(|| State {
            phase: phase.clone(),
            output_end: end,
            output_limited: *output_limited,
            output_tail,
            egress: egress.clone(),
            inputs: inputs(),
            typists: Some(typists()),
        })
    }

    /// Writes down how the job ended, lets the job go and tells it, in this order: who hears of the
    /// end finds nothing left of us.
    pub(super) fn close(mut self, exit: JobExit, lock: Lock) {
        if let Err(error) = self.output.sync() {
            complain("write output", &error);
        }
        self.phase = Phase::Exited { exit: exit.clone() };
        self.write_down(&exit);
        if let Err(error) = self.leave(lock) {
            complain("leave", &error);
        }
        self.clients.tell_output(exit.output.end);
        self.clients.tell(&FromSupervisor::Exited { exit });
    }

    fn write_down(&mut self, exit: &JobExit) {
        for _ in 0..EXIT_ATTEMPTS_MAX {
            match self.job_dir.write_json(EXIT, exit) {
                Ok(()) => return,
                // Somebody removed the directory: nobody wants to know.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(error) => complain("write down the end", &error),
            }
            self.serve_for(EXIT_RETRY);
        }
    }

    /// Serves those attached for a while. There is nothing left that they could ask for.
    fn serve_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let timeout = Timespec::try_from(left).unwrap_or_default();
            let mut fds: Vec<PollFd<'_>> = self.poll_fds().collect();
            if let Err(error) = poll(&mut fds, Some(&timeout)) {
                complain("wait", &error);
            }
            drop(self.serve(Vec::new, Vec::new));
        }
    }

    /// Becomes unreachable and lets the job go, as one step for everybody who looks.
    fn leave(&mut self, lock: Lock) -> io::Result<()> {
        let _gate = self.job_dir.gate(FlockOperation::LockExclusive)?;
        self.clients.close_door();
        self.job_dir.remove_socket()?;
        drop(lock);
        Ok(())
    }
}
