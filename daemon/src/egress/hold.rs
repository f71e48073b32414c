//! The supervisor's hold on a gateway: started at the first knock, started again if it dies, ended
//! with its step. Waits for nobody but at the end.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handoff_sandbox::Doors;
use rustix::event::{PollFd, PollFlags};

use super::notice::{Denial, Notice, Unrenewed};
use super::policy::{CredentialKind, Policy, Provider};
use super::secret::Secret;
use super::sign_in::Renewed;
use super::{GATEWAY, handover};
use crate::supervisor::Rights;

/// How often a gateway of one step is started. One that cannot live is not tried for ever.
const STARTS_MAX: u32 = 16;

/// How long a gateway may take to read its policy, which it does before all else.
const HANDOVER_MAX: Duration = Duration::from_secs(5);

/// How long a gateway may take to tell what is left to tell.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);

/// Longest notice; more without an end is no notice.
const NOTICE_MAX: usize = 64 * 1024;

/// What a gateway inherits of the environment: where certificate authorities are kept.
const ENVIRONMENT: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The doors of one step, and the gateway that serves them once somebody knocked.
#[derive(Debug)]
pub struct Gateway {
    policy: Policy,
    rights: Rights,
    doors: Option<Doors>,
    serving: Option<Serving>,
    starts: u32,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
    /// The gateway is over, or not to be listened to any more.
    End,
}

#[derive(Debug)]
struct Serving {
    child: Child,
    socket: UnixStream,
    received: Vec<u8>,
}

impl Gateway {
    /// Takes doors that nobody serves yet. The policy's credentials are read with these rights.
    #[must_use]
    pub(crate) const fn new(policy: Policy, rights: Rights, doors: Doors) -> Self {
        Self { policy, rights, doors: Some(doors), serving: None, starts: 0 }
    }

    /// Lists what to poll before [`Gateway::attend`]: the gateway, or the doors as long as there is
    /// none.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let serving = self.serving.as_ref().map(|serving| serving.socket.as_fd());
        let doors = self.doors.as_ref().filter(|_| serving.is_none());
        let doors = doors.into_iter().flat_map(|doors| doors.0.iter().map(OwnedFd::as_fd));
        serving.into_iter().chain(doors).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
    }

    /// Starts a gateway if somebody knocks, and hands what it tells to `hear`.
    ///
    /// # Errors
    ///
    /// When none can be started any more: the doors are closed then, and nothing is reached, which
    /// `hear` is told as a denial of everything.
    pub fn attend(&mut self, mut hear: impl FnMut(Notice)) -> io::Result<()> {
        if let Some(serving) = &mut self.serving {
            if serving.read(&mut hear) != Heard::End {
                return Ok(());
            }
            // By itself, a gateway only ends when something is wrong.
            serving.reap()?;
            self.serving = None;
        }
        if !self.knocked()? {
            return Ok(());
        }
        let started = self.start();
        if let Err(error) = &started {
            self.doors = None;
            let why = format!("{error}; this step reaches nothing any more");
            hear(Notice::Denied(Denial::unreadable("*", why)));
        }
        started
    }

    /// Hands a sign-in over as its file holds it, or why it was not renewed.
    pub(crate) fn renewed(&mut self, provider: &str, failure: Option<Unrenewed>) {
        // One that is started later is handed what the file holds then.
        let Some(serving) = &self.serving else { return };
        let is_it =
            |known: &&Provider| known.name == provider && known.kind == CredentialKind::SignIn;
        let Some(known) = self.policy.providers.iter().find(is_it) else { return };
        let renewed = match failure {
            Some(failure) => Renewed::of(provider, Err(failure)),
            None => self.read(known),
        };
        if handover::renew(&serving.socket, &renewed).is_err() {
            // It does not hear: one that is started anew is handed it.
            self.serving = None;
        }
    }

    /// What a sign-in's file holds, without what it is renewed with: that no gateway sees.
    fn read(&self, provider: &Provider) -> Renewed {
        let path = &provider.credential;
        let text = self.rights.exercise(|| Secret::read(path)).map_err(|error| {
            // Standard error is the supervisor's log; where it is full, nobody hears of it.
            drop(writeln!(io::stderr(), "read sign-in {}: {error}", path.display()));
            Unrenewed::for_now("the sign-in cannot be read")
        });
        Renewed::of(&provider.name, text.as_ref().map_err(Clone::clone))
    }

    /// The policy's sign-ins, as their files hold them.
    fn sign_ins(&self) -> Vec<Renewed> {
        let is_one = |known: &&Provider| known.kind == CredentialKind::SignIn;
        self.policy.providers.iter().filter(is_one).map(|known| self.read(known)).collect()
    }

    fn knocked(&self) -> io::Result<bool> {
        let Some(doors) = &self.doors else { return Ok(false) };
        let mut fds: Vec<PollFd<'_>> =
            doors.0.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let none = rustix::event::Timespec::default();
        let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&none)))?;
        Ok(ready > 0)
    }

    fn start(&mut self) -> io::Result<()> {
        let Some(doors) = &self.doors else { return Ok(()) };
        if self.starts == STARTS_MAX {
            return Err(io::Error::other(format!("the gateway died {STARTS_MAX} times")));
        }
        self.starts += 1;
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("handoff-gateway").arg(GATEWAY).current_dir("/").env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let child = command.spawn()?;
        drop(command);
        // Killed with this, should anything fail.
        let serving = Serving { child, socket: ours, received: Vec::new() };
        serving.socket.set_write_timeout(Some(HANDOVER_MAX))?;
        handover::send(&serving.socket, &self.policy, &self.sign_ins(), self.rights, doors)?;
        serving.socket.set_nonblocking(true)?;
        self.serving = Some(serving);
        Ok(())
    }

    /// Ends the gateway and hands what it still tells to `hear`.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub fn finish(mut self, mut hear: impl FnMut(Notice)) -> io::Result<()> {
        drop(self.doors.take());
        let Some(mut serving) = self.serving.take() else { return Ok(()) };
        // Refused only if it has gone by itself.
        drop(serving.socket.shutdown(Shutdown::Write));
        serving.socket.set_nonblocking(false)?;
        let until = Instant::now() + LAST_WORDS_MAX;
        // One that takes too long is killed below.
        while let Some(left) =
            until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            serving.socket.set_read_timeout(Some(left))?;
            if serving.read(&mut hear) != Heard::Something {
                break;
            }
        }
        serving.reap()
    }
}

impl Serving {
    /// Reads once and hands on what it was told.
    fn read(&mut self, mut hear: impl FnMut(Notice)) -> Heard {
        let mut bytes = [0; 4096];
        match self.socket.read(&mut bytes) {
            Ok(0) => return Heard::End,
            Ok(read) => self.received.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Heard::Something,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Nothing,
            Err(_broken) => return Heard::End,
        }
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(notice) => hear(notice),
                // It reads what runs send: one that talks nonsense was taken over.
                Err(_nonsense) => return Heard::End,
            }
        }
        if self.received.len() > NOTICE_MAX { Heard::End } else { Heard::Something }
    }

    /// Ends it if it has not, and waits.
    fn reap(&mut self) -> io::Result<()> {
        drop(self.child.kill());
        self.child.wait().map(drop)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ignored = self.reap();
    }
}
