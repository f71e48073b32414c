//! The process outside of a run's network that serves its doors. It is started when the first
//! connection comes, holds the credentials and nothing else of the daemon's, and ends with its
//! supervisor.

use std::io;
use std::net::{TcpListener as StdListener, UdpSocket as StdUdpSocket};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use handoff_sandbox::{Door, Doors};
use rustls::ClientConfig;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use super::handover::{self, Told};
use super::notice::{Denial, Notice, Summary, Usage};
use super::policy::{GitHost, Policy, Provider};
use super::privileges;
use super::secret::Secret;
use super::upstream::{self, Upstream};
use super::{names, proxy, services};

/// Connections of one run at a time. A package manager opens some dozens.
const CONNECTIONS_MAX: usize = 512;

/// Notices that wait to be written; whoever has one more waits, too.
const NOTICES_MAX: usize = 256;

/// A provider that can be called.
#[derive(Debug)]
pub(super) struct KnownProvider {
    pub(super) provider: Provider,
    pub(super) upstream: Upstream,
    pub(super) secret: Secret,
}

/// A git host that can be called.
#[derive(Debug)]
pub(super) struct KnownGitHost {
    pub(super) git: GitHost,
    pub(super) upstream: Upstream,
    pub(super) secret: Secret,
}

/// What every connection needs.
#[derive(Clone, Debug)]
pub(super) struct Fence(Arc<Inner>);

/// See [`Fence`].
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) policy: Policy,
    pub(super) providers: Vec<KnownProvider>,
    pub(super) git: Vec<KnownGitHost>,
    /// Whatever is under way.
    pub(super) tasks: TaskTracker,
    tls: OnceLock<Arc<ClientConfig>>,
    told: Mutex<Summary>,
    notices: mpsc::Sender<Notice>,
}

impl std::ops::Deref for Fence {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Fence {
    fn new(policy: Policy, secrets: Secrets) -> (Self, mpsc::Receiver<Notice>) {
        let (notices, waiting) = mpsc::channel(NOTICES_MAX);
        let Secrets { providers, git } = secrets;
        let (tasks, tls, told) = (TaskTracker::new(), OnceLock::new(), Mutex::default());
        (Self(Arc::new(Inner { policy, providers, git, tasks, tls, told, notices })), waiting)
    }

    #[cfg(test)]
    pub(super) fn of(policy: Policy) -> (Self, mpsc::Receiver<Notice>) {
        Self::new(policy, Secrets::default())
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

    /// TLS towards services. Certificates are read when the first one is called.
    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        self.tls.get_or_init(upstream::tls)
    }
}

/// The credentials, read while the files can be.
#[derive(Debug, Default)]
struct Secrets {
    providers: Vec<KnownProvider>,
    git: Vec<KnownGitHost>,
}

impl Secrets {
    fn read(policy: &Policy) -> io::Result<Self> {
        let secret = |path: &std::path::Path| -> io::Result<Secret> {
            let text = std::fs::read_to_string(path).map_err(|error| {
                io::Error::new(error.kind(), format!("read credential {}: {error}", path.display()))
            })?;
            Ok(Secret::new(&text))
        };
        let upstream = |url: &str| url.parse::<Upstream>().map_err(io::Error::other);
        let provider = |provider: &Provider| -> io::Result<KnownProvider> {
            let upstream = upstream(&provider.base_url)?;
            let secret = secret(&provider.credential)?;
            Ok(KnownProvider { provider: provider.clone(), upstream, secret })
        };
        let git = |git: &GitHost| -> io::Result<KnownGitHost> {
            let upstream = upstream(&git.base_url)?;
            let secret = secret(&git.credential)?;
            Ok(KnownGitHost { git: git.clone(), upstream, secret })
        };
        Ok(Self {
            providers: policy.providers.iter().map(provider).collect::<io::Result<_>>()?,
            git: policy.git.iter().map(git).collect::<io::Result<_>>()?,
        })
    }
}

/// The gateway. Standard input is the socket to the supervisor.
pub(super) fn run() -> ExitCode {
    let started = || -> io::Result<()> {
        let (supervisor, Told { policy, owner, doors }) = handover::receive()?;
        privileges::become_owner(owner)?;
        let secrets = Secrets::read(&policy)?;
        privileges::give_up()?;
        drop(rustls::crypto::ring::default_provider().install_default());
        let (fence, notices) = Fence::new(policy, secrets);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let serving = serve(&fence, doors)?;
            tokio::select! {
                () = serving => {}
                told = handover::tell(supervisor, notices) => told?,
            }
            Ok(())
        })
    };
    match started() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the supervisor's log.
            use std::io::Write as _;
            drop(writeln!(io::stderr(), "gateway: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves all doors.
fn serve(fence: &Fence, doors: Doors) -> io::Result<impl Future<Output = ()>> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
        fence.tasks.spawn(accept(fence.clone(), door, listener, places.clone()));
    }
    let fence = fence.clone();
    // The others end with the process.
    Ok(async move { names::serve_datagrams(&fence, &names).await })
}

async fn accept(fence: Fence, door: Door, listener: TcpListener, places: Arc<Semaphore>) {
    loop {
        // One more than there is room for waits in the kernel's queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors or the like: some connection will end.
            tokio::task::yield_now().await;
            continue;
        };
        let served = fence.clone();
        fence.tasks.spawn(async move {
            answer(served, door, stream).await;
            drop(place);
        });
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
