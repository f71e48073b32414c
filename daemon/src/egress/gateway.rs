//! The process outside of a run's network that serves its doors. It is started when the first
//! connection comes, holds the credentials, and ends with its supervisor's step. Of a daemon that
//! is an ordinary user it has the uid.

mod secrets;

use std::io::{self, Write as _};
use std::net::{TcpListener as StdListener, UdpSocket as StdUdpSocket};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use handoff_sandbox::{Door, Doors};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::secrets::Secrets;
use super::handover::{self, Told};
use super::notice::{Denial, Notice, Stale, Summary, Usage};
use super::policy::{GitHost, McpServer, Policy, Provider};
use super::privileges;
use super::secret::Secret;
use super::sign_in::{Held, Renewed};
use super::upstream;
use super::{names, proxy, services};

/// Connections of one run at a time, if the system lets one process have as many descriptors. A
/// package manager opens some dozens.
const CONNECTIONS_MAX: usize = 512;

/// With room for less, programs would fail in ways that nobody understands.
const CONNECTIONS_MIN: usize = 64;

/// Descriptors of a connection: both ends, and a pipe in both directions.
const DESCRIPTORS_EACH: u64 = 6;

/// Descriptors for names, certificates and the like.
const DESCRIPTORS_BESIDE: u64 = 128;

/// How long to wait before accepting again when the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to end, so that they can tell what they used.
const END_MAX: Duration = Duration::from_secs(1);

/// Notices that wait to be written; whoever has one more waits, too.
const NOTICES_MAX: usize = 256;

/// A service that can be called.
#[derive(Debug)]
pub(super) struct Known<T, C = Secret> {
    pub(super) service: T,
    /// None if its file could not be read: then this service alone is not there.
    pub(super) credential: Option<C>,
}

/// How calls of a model API are paid for.
#[derive(Debug)]
pub(super) enum Means {
    /// By the same secret, to the end.
    Secret(Secret),
    /// By the token of the time.
    SignIn(Held),
}

/// What every connection needs. Clones that were made for a connection hold its place.
#[derive(Clone, Debug)]
pub(super) struct Fence {
    inner: Arc<Inner>,
    place: Option<Arc<OwnedSemaphorePermit>>,
}

/// See [`Fence`].
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) policy: Policy,
    pub(super) providers: Vec<Known<Provider, Means>>,
    pub(super) git: Vec<Known<GitHost>>,
    pub(super) mcp: Vec<Known<McpServer>>,
    /// Whatever is under way, until `ending`.
    tasks: TaskTracker,
    ending: CancellationToken,
    tls: OnceLock<Arc<ClientConfig>>,
    told: Mutex<Summary>,
    notices: mpsc::Sender<Notice>,
}

impl std::ops::Deref for Fence {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Fence {
    fn new(policy: Policy, secrets: Secrets) -> (Self, mpsc::Receiver<Notice>) {
        let (notices, waiting) = mpsc::channel(NOTICES_MAX);
        let Secrets { providers, git, mcp } = secrets;
        let (tasks, tls, told) = (TaskTracker::new(), OnceLock::new(), Mutex::default());
        let ending = CancellationToken::new();
        let inner = Inner { policy, providers, git, mcp, tasks, ending, tls, told, notices };
        (Self { inner: Arc::new(inner), place: None }, waiting)
    }

    /// Serves nothing: for calls that are no run's.
    pub(super) fn outside(policy: Policy) -> Self {
        Self::new(policy, Secrets::default()).0
    }

    #[cfg(test)]
    pub(super) fn of(policy: Policy) -> (Self, mpsc::Receiver<Notice>) {
        Self::new(policy, Secrets::default())
    }

    /// The same, for a connection that has this place.
    fn placed(&self, place: OwnedSemaphorePermit) -> Self {
        Self { inner: self.inner.clone(), place: Some(Arc::new(place)) }
    }

    /// Does something beside, until that or the gateway ends. What belongs to a connection keeps
    /// its place.
    pub(super) fn spawn(&self, doing: impl Future<Output = ()> + Send + 'static) {
        let (ending, place) = (self.ending.clone(), self.place.clone());
        self.tasks.spawn(async move {
            let _done = ending.run_until_cancelled(doing).await;
            drop(place);
        });
    }

    /// Ends all connections, and waits for them.
    pub(super) async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        // What takes longer is not waited for.
        drop(tokio::time::timeout(END_MAX, self.tasks.wait()).await);
    }

    /// Tells the run's owner of a denial, unless that was told before.
    pub(super) fn deny(&self, denial: Denial) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.deny(denial.clone()) {
            // There is room for all that are ever told, but for what usage takes of it; one that
            // finds none is told the next time.
            if self.notices.try_send(Notice::Denied(denial)).is_err() {
                told.denied.pop();
            }
        }
    }

    /// Tells what a call used.
    pub(super) fn used(&self, usage: Usage) {
        // Without room the supervisor is dead or hanging, and nobody counts.
        drop(self.notices.try_send(Notice::Usage(usage)));
    }

    /// Has a sign-in renewed.
    pub(super) async fn expire(&self, stale: Stale) {
        // Without anybody who hears it, whoever waits for the new one waits in vain, and says so.
        drop(self.notices.send(Notice::Stale(stale)).await);
    }

    /// Takes in what became of that.
    fn renewed(&self, renewed: Renewed) {
        let is_it = |known: &&Known<Provider, Means>| known.service.name == renewed.provider;
        if let Some(Means::SignIn(held)) =
            self.providers.iter().find(is_it).and_then(|known| known.credential.as_ref())
        {
            held.take(renewed);
        }
    }

    /// TLS towards services. Certificates are read when the first one is called.
    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        self.tls.get_or_init(upstream::tls)
    }
}

/// The gateway. Standard input is the socket to the supervisor.
pub(super) fn run() -> ExitCode {
    let started = || -> io::Result<()> {
        let (supervisor, Told { policy, sign_ins, rights, doors }) = handover::receive()?;
        let secrets = rights.exercise(|| Ok(Secrets::read(&policy, sign_ins)))?;
        privileges::give_up()?;
        let connections = allow_connections()?;
        drop(rustls::crypto::ring::default_provider().install_default());
        let (fence, notices) = Fence::new(policy, secrets);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let names = serve(&fence, doors, connections)?;
            tokio::select! {
                () = names::serve_datagrams(&fence, &names) => {
                    Err(io::Error::other("the socket for names failed"))
                }
                told = handover::tell(supervisor, notices, |news| fence.renewed(news), fence.end()) => told,
            }
        })
    };
    match started() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Standard error is the supervisor's log.
fn complain(what: &str) {
    // Where that cannot be written, there is no place left to say so.
    drop(writeln!(io::stderr(), "gateway: {what}"));
}

/// Sees to it that as many connections as possible can be open, and tells how many.
fn allow_connections() -> io::Result<usize> {
    let limits = getrlimit(Resource::Nofile);
    let connections = connections(limits.maximum.unwrap_or(u64::MAX));
    let descriptors = |connections| DESCRIPTORS_EACH * connections as u64 + DESCRIPTORS_BESIDE;
    if connections < CONNECTIONS_MIN {
        let needed = descriptors(CONNECTIONS_MIN);
        return Err(io::Error::other(format!("needs {needed} descriptors (RLIMIT_NOFILE)")));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors(connections)), ..limits })?;
    Ok(connections)
}

/// How many there can be with so many descriptors.
fn connections(descriptors: u64) -> usize {
    let most = descriptors.saturating_sub(DESCRIPTORS_BESIDE) / DESCRIPTORS_EACH;
    usize::try_from(most).map_or(CONNECTIONS_MAX, |most| most.min(CONNECTIONS_MAX))
}

/// Serves all doors but the one for datagrams, which is returned.
fn serve(fence: &Fence, doors: Doors, connections: usize) -> io::Result<UdpSocket> {
    let places = Arc::new(Semaphore::new(connections));
    let mut listeners = Vec::new();
    let mut names = None;
    for (door, socket) in Door::ALL.into_iter().zip(doors.0) {
        if door == Door::NamesUdp {
            names = Some(UdpSocket::from_std(StdUdpSocket::from(socket))?);
        } else {
            listeners.push((door, TcpListener::from_std(StdListener::from(socket))?));
        }
    }
    let names = names.ok_or_else(|| io::Error::other("no socket for names"))?;
    for (door, listener) in listeners {
        fence.spawn(accept(fence.clone(), door, listener, places.clone()));
    }
    Ok(names)
}

async fn accept(fence: Fence, door: Door, listener: TcpListener, places: Arc<Semaphore>) {
    loop {
        // One more than there is room for waits in the kernel's queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors or the like: some connection will end.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let fence = fence.placed(place);
        fence.spawn(answer(fence.clone(), door, stream));
    }
}

async fn answer(fence: Fence, door: Door, stream: TcpStream) {
    match door {
        Door::Proxy => proxy::serve_proxy(fence, stream).await,
        Door::Services => services::serve(fence, stream).await,
        Door::Http => proxy::serve_http(fence, stream).await,
        Door::Tls => proxy::serve_tls(fence, stream).await,
        Door::NamesTcp | Door::NamesUdp => names::serve_stream(fence, stream).await,
    }
}

#[cfg(test)]
mod tests;
