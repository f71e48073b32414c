//! The one loop: runs the steps of a job one after the other, ends them when their time is over or
//! somebody says so, and says how it all ended. Waits in one place.

mod demands;
mod room;

use std::time::Instant;

use handoff_sandbox::{Ended as SandboxEnded, Next, Report, Signal, SpawnError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::clock::Clock;
use super::complain;
use super::disk::DiskWatch;
use super::ending::{Act, Ending};
use super::front::Front;
use super::input::Input;
use super::live_step::LiveStep;
use super::start_up::Hold;
use super::terminal::Terminal;
use super::verdict::{Close, of_command, of_setup};
use crate::egress::{Gateway, Policy, Unrenewed};
use crate::supervisor::job::{Ended, Job, JobExit, Reads, Step};
use crate::supervisor::message::Phase;

/// Runs a job to its end.
pub(super) fn run(hold: Hold) {
    let Hold { job_dir, mut job, output, listener, lock } = hold;
    let mut supervision = Supervision {
        front: Front::new(job_dir, output, listener),
        input: Input::default(),
        terminal: Terminal::default(),
        buffer: Vec::new(),
        egress: job.egress.take().unwrap_or_default(),
        disk: None,
        clock: None,
        wrote_at: Instant::now(),
        oom_kills: None,
        renewed: Vec::new(),
    };
    let ended = supervision.watch_and_run(&job);
    supervision.lift(&job);
    let Supervision { front, oom_kills, .. } = supervision;
    let (output, egress) = (front.output(), front.egress());
    front.close(JobExit { ended, output, oom_kills, egress }, lock);
}

struct Supervision {
    front: Front,
    input: Input,
    terminal: Terminal,
    /// What is read from a pipe on its way to the output.
    buffer: Vec<u8>,
    /// What steps with a fenced network may reach.
    egress: Policy,
    disk: Option<DiskWatch>,
    /// What the command's time is counted by, once it begins.
    clock: Option<Clock>,
    /// When a step wrote last.
    wrote_at: Instant,
    oom_kills: Option<u64>,
    /// What became of sign-ins, for the gateway; without one, nobody waits for it.
    renewed: Vec<(String, Option<Unrenewed>)>,
}

/// Tells what a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It prepares for those after it.
    Setup,
    /// It is what the job is about.
    Command,
}

impl Supervision {
    fn watch_and_run(&mut self, job: &Job) -> Ended {
        let watching = DiskWatch::start(job, self.front.rights().uid());
        match watching {
            Ok(disk) => self.disk = disk,
            Err(error) => {
                let detail = format!("watch the disk: {error}");
                return Ended::Refused { step: "disk".into(), detail };
            }
        }
        self.run_steps(job)
    }

    fn run_steps(&mut self, job: &Job) -> Ended {
        let Some((command, setup)) = job.steps.split_last() else {
            let detail = "the job has no command".into();
            return Ended::Refused { step: "policy".into(), detail };
        };
        let setup_deadline = job.setup_limit().and_then(|limit| Instant::now().checked_add(limit));
        for step in setup {
            let mut ending = Ending::new(setup_deadline, job.kill_grace());
            let close = self.run_step(step, Role::Setup, Reads::Nothing, &mut ending);
            if let Some(ended) = of_setup(&step.name, ending.cause(), close, self.reached()) {
                return ended;
            }
        }
        let clock = Clock::start(job.time_limit(), job.reads, Instant::now());
        let mut ending = Ending::new(clock.deadline(false), job.kill_grace());
        self.clock = Some(clock);
        let close = self.run_step(command, Role::Command, job.reads, &mut ending);
        let limit_seconds = self.clock.as_ref().map_or(0, Clock::limit_seconds);
        of_command(ending.cause(), limit_seconds, close, self.oom_kills, self.reached())
    }

    /// Runs one step until nothing of it is left.
    fn run_step(&mut self, step: &Step, role: Role, reads: Reads, ending: &mut Ending) -> Close {
        self.front.enter(Phase::SettingUp { step: step.name.clone() });
        if !self.await_disk(ending) {
            return Close::Ended(SandboxEnded::WithoutReport);
        }
        let spec = match self.settle_disk(&step.spec) {
            Ok(spec) => spec,
            Err(refusal) => return Close::Ended(SandboxEnded::Refused(refusal)),
        };
        let mut live = match LiveStep::start(&spec, reads) {
            Ok((live, input)) => {
                input.into_iter().for_each(|pipe| self.input.connect(pipe));
                live
            }
            Err(SpawnError::Refused(refusal)) => {
                return Close::Ended(SandboxEnded::Refused(refusal));
            }
            Err(error) => return Close::NotStarted(error.to_string()),
        };
        if let Some(disk) = &self.disk {
            disk.look_below(Some(live.running.pid()));
        }
        // When a command on a terminal is told that its terminal goes away.
        let mut hang_up_at: Option<Instant> = None;
        let close = loop {
            let wake_at = [ending.wake_at(), hang_up_at].into_iter().flatten().min();
            wait(live.poll_fds().chain(self.poll_fds()), wake_at);
            if let Some(close) = self.hear_reports(&mut live, role) {
                break close;
            }
            live.read(&mut self.buffer, |stream, bytes| {
                self.wrote_at = Instant::now();
                self.front.keep(stream, bytes);
            });
            live.attend(|notice| self.front.hear(notice));
            self.input.write();
            self.terminal.write();
            let demanded = self.demanded(ending);
            for (provider, failure) in self.renewed.drain(..) {
                self.front.renewed(&provider);
                live.renewed(&provider, failure);
            }
            match demanded {
                None => {}
                Some(Act::Ask) => {
                    ask(&live, Signal::TERM);
                    // A shell at a terminal ignores that. What does not has half the time.
                    let now = Instant::now();
                    let left = ending.wake_at().map(|kill_at| kill_at.duration_since(now) / 2);
                    hang_up_at = spec.terminal.and(left).and_then(|left| now.checked_add(left));
                }
                // What is killed has nothing to report.
                Some(Act::Kill) => break Close::Ended(SandboxEnded::WithoutReport),
            }
            if hang_up_at.is_some_and(|at| at <= Instant::now()) {
                hang_up_at = None;
                ask(&live, Signal::HUP);
            }
        };
        if let Some(disk) = &self.disk {
            disk.look_below(None);
        }
        if let Some(kills) = live.running.oom_kills() {
            self.oom_kills = Some(self.oom_kills.unwrap_or_default() + kills);
        }
        let notices = live.finish(&mut self.buffer, |stream, bytes| self.front.keep(stream, bytes));
        notices.into_iter().for_each(|notice| self.front.hear(notice));
        close
    }

    fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let disk = self.disk.as_ref().map(DiskWatch::poll_fd);
        let disk = disk.map(|news| PollFd::from_borrowed_fd(news, PollFlags::IN));
        self.front.poll_fds().chain(disk).chain(self.input.poll_fd()).chain(self.terminal.poll_fd())
    }

    /// Takes what the sandbox reports; the end of the step is returned.
    fn hear_reports(&mut self, live: &mut LiveStep, role: Role) -> Option<Close> {
        loop {
            match live.running.next() {
                Ok(Next::Report(Report::Doors)) => self.open(live),
                Ok(Next::Report(Report::Ready { isolation })) => match role {
                    Role::Setup => {}
                    Role::Command => {
                        let isolation = match &self.disk {
                            Some(disk) => disk.account(isolation),
                            None => isolation,
                        };
                        self.front.enter(Phase::Running { isolation });
                        self.connect_terminal(live);
                    }
                },
                Ok(Next::Report(Report::Refused(refusal))) => {
                    return Some(Close::Ended(SandboxEnded::Refused(refusal)));
                }
                Ok(Next::Report(Report::Exited(status))) => {
                    return Some(Close::Ended(SandboxEnded::Exited(status)));
                }
                Ok(Next::Pending) => return None,
                Ok(Next::Ended(ended)) => return Some(Close::Ended(ended)),
                Err(error) => return Some(Close::Untrusted(error.to_string())),
            }
        }
    }

    /// Takes the outer end of the command's terminal, if it has one.
    fn connect_terminal(&mut self, live: &mut LiveStep) {
        match live.connect_terminal() {
            Ok(Some(outer)) => self.terminal.connect(outer),
            Ok(None) => {}
            Err(error) => complain("take the command's terminal", &error),
        }
    }

    /// Takes the doors of the step's network.
    fn open(&self, live: &mut LiveStep) {
        match live.running.take_doors() {
            Some(doors) => {
                let gateway = Gateway::new(self.egress.clone(), self.front.rights(), doors);
                live.gateway = Some(gateway);
            }
            None => complain("serve the network", &"the doors did not arrive"),
        }
    }
}

/// Waits until something happens or the time has come.
fn wait<'a>(fds: impl Iterator<Item = PollFd<'a>>, wake_at: Option<Instant>) {
    let left = wake_at.map(|wake_at| wake_at.saturating_duration_since(Instant::now()));
    // A time too far away to be told is as good as none.
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    let mut fds: Vec<PollFd<'_>> = fds.collect();
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => complain("wait", &error),
    }
}

fn ask(live: &LiveStep, signal: Signal) {
    if let Err(error) = live.running.signal(signal) {
        complain("ask the command to end", &error);
    }
}
