//! `handoffd serve`: puts the parts together, opens the doors, and closes them again.
//!
//! Runs go on when it ends: their supervisors outlive it, and the next one takes them up.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use clap::Args;
use handoff_proto::{
    problem::{Code, Problem},
    wire::{
        admin_server::AdminServer, enrollment_server::EnrollmentServer, runs_server::RunsServer,
    },
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tracing_subscriber::{EnvFilter, fmt};

use super::{exit::failed, output, settings};
use crate::{
    config::Config,
    doctor,
    pki::{self, Authority, Pairing, ServerNames},
    rpc::{
        admin::{AdminService, socket::AdminSocket},
        enrollment::EnrollmentService,
        identity::Identity,
        runs::RunsService,
        server,
    },
    runs::{HostUids, Registry, RunSettings},
    store::{StoreError, durable_file, embedded::Embedded},
    workspace::{Surroundings, Tools},
};

/// Take runs and drive them until stopped
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Read settings from FILE
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve this user alone: listen on this machine only, whatever the settings say, and show
    /// runs the toolchains in the user's home
    #[arg(long)]
    local: bool,
    /// Leave the session of whoever started it, and print the address on standard output, too.
    #[arg(long, hide = true)]
    detached: bool,
}

/// Whom the daemon is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// Whoever is invited.
    Invited,
    /// The user who started it, on this machine.
    LocalUser,
}

/// Who is told the address when the daemon is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    /// Whoever reads standard error.
    Human,
    /// The program that started it, too, on standard output.
    Program,
}

/// What has to be there before the first task starts.
struct Daemon {
    config: Config,
    state: PathBuf,
    audience: Audience,
    report: Report,
    store: Embedded,
    authority: Arc<Authority>,
    tools: Tools,
    host_uids: HostUids,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Problem> {
        log_to_stderr();
        if self.detached {
            rustix::process::setsid().map_err(|errno| {
                Problem::new(Code::Failed, format!("cannot leave the session: {errno}"))
            })?;
        }
        let (config, state) = settings::read(self.config)?;
        if config.isolation.launcher.is_some() && rustix::process::geteuid().is_root() {
            let message = "a daemon that is root needs no launcher";
            return Err(Problem::new(Code::Usage, message)
                .with_hint("run it as a user of its own, or remove `launcher` from [isolation]"));
        }
        let audience = if self.local { Audience::LocalUser } else { Audience::Invited };
        let report = if self.detached { Report::Program } else { Report::Human };
        let daemon = Daemon::prepare(config, state, audience, report)?;
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(Code::Failed, &error))?
            .block_on(daemon.serve())
    }
}

impl Daemon {
    fn prepare(
        config: Config,
        state: PathBuf,
        audience: Audience,
        report: Report,
    ) -> Result<Self, Problem> {
        let store = Embedded::open(&state).map_err(|error| match error {
            StoreError::InUse { .. } => failed(Code::Conflict, &error),
            _ => failed(Code::Failed, &error),
        })?;
        let authority = Authority::open(&state, SystemTime::now())
            .map_err(|error| failed(Code::Failed, &error))?;
        let host_uids = HostUids::find(config.isolation.launcher.as_deref(), &state);
        let mut tools = tools(&config, audience)?;
        if host_uids.are_subordinate() {
            tools = tools.without_private();
        }
        for left_out in tools.left_out() {
            tracing::warn!("{left_out}");
        }
        let authority = Arc::new(authority);
        Ok(Self { config, state, audience, report, store, authority, tools, host_uids })
    }

    async fn serve(self) -> Result<(), Problem> {
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        // The first answer takes a moment: have it ready before somebody asks.
        let launcher = self.config.isolation.launcher.clone();
        let state = self.state.clone();
        tracker.spawn_blocking(move || doctor::layers(launcher.as_deref(), &state));
        let (listener, address) = self.listen().await?;
        let names = &self.config.listen.names;
        let tls = pki::server_config(
            &self.authority,
            ServerNames::new(names, address),
            SystemTime::now(),
        )
        .map_err(|error| failed(Code::Failed, &error))?;
        let pairing = Pairing::new(self.authority.clone(), self.store.devices(), names, address);
        let identity = Identity::new(self.store.devices());
        let socket = be_found(&self.state, address)?;

        let (store, state, report) = (self.store.clone(), self.state.clone(), self.report);
        let registry = self.recover_runs(&tracker, &stop).await?;

        let routes = Routes::new(EnrollmentServer::new(EnrollmentService::new(pairing.clone())))
            .add_service(RunsServer::new(RunsService::new(registry.clone(), identity.clone())));
        let admin = AdminService::new(store.clone(), pairing, registry, stop.clone());
        let admin = Routes::new(AdminServer::new(admin));

        let signals = Signals::new()?;
        announce(address, report)?;
        tokio::join!(
            server::serve(listener, tls, routes, identity, stop.cancelled()),
            socket.serve(admin, stop.cancelled()),
            signals.stop_at_the_first(&stop),
        );
        tracker.close();
        tracker.wait().await;
        conceal(&state)?;
        // Only now: whoever has the store next writes an address of its own.
        drop(store);
        Ok(())
    }

    async fn listen(&self) -> Result<(TcpListener, SocketAddr), Problem> {
        let wanted = match self.audience {
            Audience::Invited => self.config.listen.address,
            Audience::LocalUser => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let bound = async {
            let listener = TcpListener::bind(wanted).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        bound.await.map_err(|error: io::Error| {
            Problem::new(Code::Failed, format!("cannot listen on {wanted}: {error}"))
                .with_hint("set [listen] address in handoffd.toml; port 0 takes a free one")
        })
    }

    /// Takes up the runs of earlier daemons and starts to take new ones.
    async fn recover_runs(
        self,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Registry, Problem> {
        let worker = format!("handoffd-{}", std::process::id());
        let Self { config, state, tools, host_uids, .. } = self;
        let settings = RunSettings { config, state, worker, tools, host_uids };
        Registry::recover(self.store.interfaces(), settings, tracker.clone(), stop.clone())
            .await
            .map_err(|error| failed(Code::Failed, &error))
    }
}

/// The programs that runs see beside the system's.
fn tools(config: &Config, audience: Audience) -> Result<Tools, Problem> {
    let tools =
        Tools::configured(&config.tools.paths).map_err(|error| failed(Code::Usage, &error))?;
    let home = directories::BaseDirs::new();
    Ok(match (audience, &home) {
        (Audience::LocalUser, Some(own)) => tools.with_toolchains(Surroundings {
            home: own.home_dir(),
            variable: &|name| std::env::var_os(name),
        }),
        (Audience::LocalUser | Audience::Invited, _) => tools,
    })
}

/// Tells programs that read the state directory where the daemon listens, then that it lives: who
/// finds the admin socket open does not find the address of one that was killed. What they send waits
/// until it is served, for as long as they wait.
fn be_found(state: &Path, address: SocketAddr) -> Result<AdminSocket, Problem> {
    durable_file::write(&state.join("address"), format!("{address}\n").as_bytes())
        .map_err(|error| failed(Code::Failed, &error))?;
    AdminSocket::bind(state).map_err(|error| failed(Code::Failed, &error))
}

/// Says where the daemon listens and that it serves.
fn announce(address: SocketAddr, report: Report) -> Result<(), Problem> {
    output::error(&format!("listening on {address}"));
    match report {
        Report::Human => Ok(()),
        Report::Program => output::line(&address.to_string()),
    }
}

/// Takes the address back.
fn conceal(state: &Path) -> Result<(), Problem> {
    let path = state.join("address");
    std::fs::remove_file(&path)
        .map_err(|error| Problem::new(Code::Failed, format!("cannot remove {path:?}: {error}")))
}

/// The signals that stop the daemon.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Problem> {
        let listen = |kind| signal(kind).map_err(|error| failed(Code::Failed, &error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Resolves when the daemon is to stop, for whatever reason.
    async fn stop_at_the_first(mut self, stop: &CancellationToken) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = stop.cancelled() => {}
        }
        stop.cancel();
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("HANDOFFD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_a_daemon_that_starts_finds_its_address_and_not_a_former_ones() {
        let state = tempfile::tempdir().expect("a directory");
        let file = state.path().join("address");
        std::fs::write(&file, "127.0.0.1:1\n").expect("left behind");
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 2));
        // Whose socket cannot be made yet is not found; the address is there already.
        std::fs::create_dir_all(state.path().join("admin.sock/held")).expect("in its place");
        assert!(be_found(state.path(), own).is_err());
        assert_eq!(std::fs::read_to_string(file).expect("its address"), "127.0.0.1:2\n");
    }
}
