//! The one loop: runs the steps of a job one after the other, ends them when their time is over or
//! somebody says so, and says how it all ended. Waits in one place.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use handoff_sandbox::{
    Access, Ended as SandboxEnded, LayerName, Next, Refusal, Report, Signal, SpawnError, Spec,
    Step as SandboxStep,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::complain;
use super::disk::{DiskWatch, lift};
use super::ending::{Act, Ending};
use super::front::Front;
use super::input::Input;
use super::live_step::LiveStep;
use super::start_up::Hold;
use super::terminal::Terminal;
use super::verdict::{Close, of_command, of_setup};
use crate::egress::{Gateway, Policy};
use crate::supervisor::disk_limits::Breach;
use crate::supervisor::job::{Ended, Job, JobExit, Reads, Step};
use crate::supervisor::message::{Phase, ToSupervisor};

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
        oom_kills: None,
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
    oom_kills: Option<u64>,
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

    /// Lets its directory be emptied: nothing of the job is left that could fill it.
    fn lift(&self, job: &Job) {
        let Some(writable) = &job.writable else { return };
        if let Err(error) = lift(writable, self.front.rights().uid()) {
            complain("take the bound of the disk away", &error);
        }
    }

    fn run_steps(&mut self, job: &Job) -> Ended {
        let Some((command, setup)) = job.steps.split_last() else {
            let detail = "the job has no command".into();
            return Ended::Refused { step: "policy".into(), detail };
        };
        let after = |limit: Option<Duration>| Instant::now().checked_add(limit?);
        let setup_deadline = after(job.setup_limit());
        for step in setup {
            let mut ending = Ending::new(setup_deadline, job.kill_grace());
            let close = self.run_step(step, Role::Setup, Reads::Nothing, &mut ending);
            if let Some(ended) = of_setup(&step.name, ending.cause(), close, self.reached()) {
                return ended;
            }
        }
        let mut ending = Ending::new(after(job.time_limit()), job.kill_grace());
        let close = self.run_step(command, Role::Command, job.reads, &mut ending);
        let limit_seconds = job.time_limit_seconds.unwrap_or_default();
        of_command(ending.cause(), limit_seconds, close, self.oom_kills, self.reached())
    }

    fn reached(&self) -> Option<Breach> {
        self.disk.as_ref().and_then(DiskWatch::reached)
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
            live.read(&mut self.buffer, |stream, bytes| self.front.keep(stream, bytes));
            live.attend(|notice| self.front.hear(notice));
            self.input.write();
            self.terminal.write();
            match self.demanded(ending) {
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

    /// Settles what a policy requires of the disk, which the sandbox alone knows nothing of, and
    /// returns the rest of it.
    fn settle_disk(&self, spec: &Spec) -> Result<Spec, Refusal> {
        let mut rest = spec.clone();
        rest.require.retain(|layer| *layer != LayerName::Disk);
        let mut places = spec.mounts.iter().map(|mount| mount.access);
        let mut trees = spec.overlays.iter().map(|overlay| overlay.access);
        let why = match &self.disk {
            _ if rest.require.len() == spec.require.len() => None,
            Some(disk) => disk.without_quota().map(ToString::to_string),
            None if places.any(Access::is_writable) || trees.any(Access::is_writable) => {
                Some("nothing bounds it".to_owned())
            }
            // What only reads cannot fill a disk.
            None => None,
        };
        let refuse = |why: String| Refusal {
            step: SandboxStep::Required,
            detail: format!("{} is not in force: {why}", LayerName::Disk),
            errno: None,
        };
        why.map_or(Ok(rest), |why| Err(refuse(why)))
    }

    /// Waits until it is known what is on the disk before the first step. Tells whether the step may
    /// start: not if anything was demanded meanwhile.
    fn await_disk(&mut self, ending: &mut Ending) -> bool {
        while self.disk.as_ref().is_some_and(|disk| !disk.is_ready()) {
            wait(self.poll_fds(), ending.wake_at());
            if self.demanded(ending).is_some() {
                return false;
            }
        }
        true
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

    /// Serves those who are attached and returns what they, the time or the disk demand.
    fn demanded(&mut self, ending: &mut Ending) -> Option<Act> {
        let breach = self.disk.as_ref().and_then(DiskWatch::breach);
        let mut demanded = breach.and_then(|breach| ending.exceed(breach));
        let Self { front, input, terminal, .. } = self;
        for request in front.serve(|| input.taken()) {
            demanded = demanded.max(match request {
                ToSupervisor::Stop { grace_ms } => {
                    ending.stop(Instant::now(), Duration::from_millis(grace_ms))
                }
                ToSupervisor::Kill => ending.kill(),
                ToSupervisor::Input { id, text } => {
                    input.take(id, text.as_bytes());
                    None
                }
                ToSupervisor::InputEnd => {
                    input.end();
                    None
                }
                ToSupervisor::Type { base64 } => {
                    if let Ok(keys) = BASE64.decode(base64.as_bytes()) {
                        terminal.type_keys(&keys);
                    }
                    None
                }
                ToSupervisor::Resize { rows, columns } => {
                    terminal.resize(rows, columns);
                    None
                }
                ToSupervisor::Attach | ToSupervisor::Unknown => None,
            });
        }
        demanded.max(ending.due(Instant::now()))
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
