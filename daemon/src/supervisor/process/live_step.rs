//! One step while it runs: its sandbox and the pipes out of it. Decides nothing.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use handoff_sandbox::{Running, SpawnError, Spec, Stdio};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, OFlags, Uid, fchown, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::complain;
use crate::egress::{Gateway, Notice, Unrenewed};
use crate::supervisor::job::Reads;
use crate::supervisor::output::{RECORD_LEN_MAX, Stream};

/// How long to wait for the last writer after everything was killed. It is gone in no time; this
/// is for one that the kernel cannot end at once.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// A step that was started. Dropping it kills what is left of it.
#[derive(Debug)]
pub(super) struct LiveStep {
    pub(super) running: Running,
    /// What serves its network, once that has doors.
    pub(super) gateway: Option<Gateway>,
    stdout: Pipe,
    stderr: Pipe,
}

/// The end that we read: of a pipe, or of a terminal.
#[derive(Debug)]
struct Pipe {
    stream: Stream,
    /// None once nobody can write any more.
    file: Option<File>,
}

/// What one attempt to read a pipe gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Bytes(usize),
    NothingYet,
}

impl LiveStep {
    /// Starts a step with pipes to write to, and returns our end of what it reads, if it reads
    /// anything.
    pub(super) fn start(spec: &Spec, reads: Reads) -> Result<(Self, Option<File>), SpawnError> {
        let system = |what| move |source| SpawnError::System { what, source };
        if spec.terminal.is_some() {
            // The jail makes it, and reports when it is there.
            let stdio = Stdio::null().map_err(system("open /dev/null"))?;
            let running = handoff_sandbox::spawn(spec, stdio)?;
            let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(Pipe::none);
            return Ok((Self { running, gateway: None, stdout, stderr }, None));
        }
        let (stdout, their_stdout) =
            Pipe::open(Stream::Stdout, spec).map_err(system("make a pipe"))?;
        let (stderr, their_stderr) =
            Pipe::open(Stream::Stderr, spec).map_err(system("make a pipe"))?;
        let (input, stdin) = match reads {
            Reads::Nothing => {
                let null = File::open("/dev/null").map_err(system("open /dev/null"))?;
                (None, null.into())
            }
            Reads::Pipe => {
                let (theirs, ours) = pipe(End::Write, spec).map_err(system("make a pipe"))?;
                (Some(ours.into()), theirs)
            }
        };
        let stdio = Stdio { stdin, stdout: their_stdout, stderr: their_stderr };
        let running = handoff_sandbox::spawn(spec, stdio)?;
        Ok((Self { running, gateway: None, stdout, stderr }, input))
    }

    /// Reads from now on what the command's terminal shows, and returns the same end to type on; none
    /// for a command without a terminal.
    pub(super) fn connect_terminal(&mut self) -> io::Result<Option<File>> {
        let Some(outer) = self.running.take_terminal() else { return Ok(None) };
        fcntl_setfl(&outer, OFlags::NONBLOCK)?;
        let shown = File::from(outer);
        let typed = shown.try_clone()?;
        self.stdout.file = Some(shown);
        Ok(Some(typed))
    }

    /// Lists what to poll; the reports come first.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let reports = PollFd::from_borrowed_fd(self.running.report_fd(), PollFlags::IN);
        let pipes = [&self.stdout, &self.stderr].into_iter().filter_map(|pipe| pipe.file.as_ref());
        let pipes = pipes.map(|file| PollFd::new(file, PollFlags::IN));
        let gateway = self.gateway.iter().flat_map(Gateway::poll_fds);
        std::iter::once(reports).chain(pipes).chain(gateway)
    }

    /// Attends to the network and hands what there is to tell of it to `hear`. Without a gateway
    /// the step goes on, and reaches nothing.
    pub(super) fn attend(&mut self, hear: impl FnMut(Notice)) {
        if let Some(gateway) = &mut self.gateway
            && let Err(error) = gateway.attend(hear)
        {
            complain("serve the network", &error);
        }
    }

    /// Tells the gateway, if there is one, what became of a sign-in.
    pub(super) fn renewed(&mut self, provider: &str, failure: Option<Unrenewed>) {
        if let Some(gateway) = &mut self.gateway {
            gateway.renewed(provider, failure);
        }
    }

    /// Reads each pipe once, if there is something, and hands it to `keep`.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, mut keep: impl FnMut(Stream, &[u8])) {
        for pipe in [&mut self.stdout, &mut self.stderr] {
            if let Got::Bytes(read) = pipe.read(buffer) {
                keep(pipe.stream, &buffer[..read]);
            }
        }
    }

    /// Kills what is left of the step and hands all that it still wrote to `keep`: that nobody has
    /// the pipes any more proves that nobody is left. Returns what was left to tell of its network.
    pub(super) fn finish(
        mut self,
        buffer: &mut Vec<u8>,
        mut keep: impl FnMut(Stream, &[u8]),
    ) -> Vec<Notice> {
        if let Err(error) = self.running.cleanup() {
            complain("clean up after a step", &error);
        }
        let mut notices = Vec::new();
        if let Some(gateway) = self.gateway.take()
            && let Err(error) = gateway.finish(|notice| notices.push(notice))
        {
            complain("end the gateway", &error);
        }
        let until = Instant::now() + DRAIN_MAX;
        for pipe in [&mut self.stdout, &mut self.stderr] {
            while pipe.wait(until) {
                if let Got::Bytes(read) = pipe.read(buffer) {
                    keep(pipe.stream, &buffer[..read]);
                }
            }
        }
        notices
    }
}

impl Pipe {
    /// Nothing to read yet.
    const fn none(stream: Stream) -> Self {
        Self { stream, file: None }
    }

    /// Makes a pipe and returns its other end, too.
    fn open(stream: Stream, spec: &Spec) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = pipe(End::Read, spec)?;
        Ok((Self { stream, file: Some(ours.into()) }, theirs))
    }

    /// Waits until there is something to read; not for ever, and not once all is read.
    fn wait(&self, until: Instant) -> bool {
        let Some(file) = &self.file else { return false };
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or_default();
        let mut fds = [PollFd::new(file, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))).is_ok_and(|ready| ready > 0)
    }

    /// Reads once, without waiting.
    fn read(&mut self, buffer: &mut Vec<u8>) -> Got {
        buffer.resize(RECORD_LEN_MAX, 0);
        let Some(file) = &mut self.file else { return Got::NothingYet };
        loop {
            match file.read(buffer) {
                Ok(0) => self.file = None,
                Ok(read) => return Got::Bytes(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // What a terminal says once nobody has its inner end any more.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    self.file = None;
                }
                Err(error) => {
                    complain("read output", &error);
                    self.file = None;
                }
            }
            return Got::NothingYet;
        }
    }
}

/// Which end of a pipe is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Read,
    Write,
}

/// Makes a pipe; the first end is the one for reading. Ours never blocks.
fn pipe(ours: End, spec: &Spec) -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ours, theirs) = match ours {
        End::Read => (&reading, &writing),
        End::Write => (&writing, &reading),
    };
    fcntl_setfl(ours, OFlags::NONBLOCK)?;
    // Of an ordinary user's supervisor, the sandbox gives the pipe away.
    let is_root = rustix::process::geteuid().is_root();
    if let Some(uid) = spec.host_uid.filter(|_| is_root) {
        // Or else the command could not open /dev/stdout, which is this pipe.
        fchown(theirs, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))?;
    }
    Ok((reading, writing))
}
