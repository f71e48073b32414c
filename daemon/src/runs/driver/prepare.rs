//! From a claimed run to a started command: the tree, the home, the sandbox's policy, the job.

use std::{ffi::OsString, sync::Arc};

use handoff_proto::run::{Event, Exit, Run};
use thiserror::Error;

use super::{DriveError, Driver, agent::beginning};
use crate::{
    agents::{Kind, mcp},
    config::NetworkAccess,
    credentials::Credentials,
    egress::{self, McpServer, Policy, Wish},
    runs::{RoomError, RunSettings, host_uids::NoneFree, shared::Shared},
    store::UserName,
    supervisor::{
        self, AttachError, DiskLimits, Job, KILL_GRACE_MS, Reads, Remains, StartError, Step,
    },
    workspace::{
        self, AgentStart, Bound, JobKind, Layout, Owner, PolicyInput, Purpose, Terms, View,
        WorkspaceError,
    },
};

/// The run could not be prepared; it is refused with this step.
#[derive(Debug, Error)]
enum PrepareError {
    #[error("workspace")]
    Workspace(#[from] WorkspaceError),
    #[error("sandbox policy")]
    Policy(#[from] workspace::PolicyError),
    #[error("job")]
    Job(#[from] supervisor::CreateError),
    #[error("supervisor")]
    Start(#[from] StartError),
    #[error("disk")]
    Room(#[from] RoomError),
    #[error("uid")]
    Uid(#[from] NoneFree),
    #[error("preparation")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Driver {
    /// Prepares the run and starts its command, or joins the command that an earlier daemon
    /// started without living to record it.
    pub(super) async fn prepare_and_start(&mut self) -> Result<(), DriveError> {
        match supervisor::attach(&self.job(JobKind::Command)).await {
            Ok(attached) => return self.follow(attached).await,
            Err(AttachError::NotRunning(Remains::NeverSpawned)) => {}
            Err(AttachError::NotRunning(remains)) => return self.record_remains(remains).await,
            Err(error) => return Err(error.into()),
        }
        let user = self.user()?;
        let started = self.prepare(user).await;
        while let Ok(request) = self.requests.try_recv() {
            if let Some(by) = self.stop_or_refuse(request)
                && !self.run().stop_requested
            {
                self.journal.record(Event::StopRequested(by)).await?;
            }
        }
        if self.run().stop_requested {
            return self.cancel("stopped while it was prepared").await;
        }
        let started = match started {
            Ok(()) => self.start_job(JobKind::Command).await.map_err(PrepareError::from),
            Err(error) => Err(error),
        };
        match started {
            // Also when it turns out that an earlier daemon started it in its last moment.
            Ok(())
            | Err(PrepareError::Start(
                StartError::AlreadyRunning { .. } | StartError::AlreadySpawned { .. },
            )) => self.rejoin_command().await,
            Err(error) => self.refuse(error).await,
        }
    }

    async fn prepare(&self, user: UserName) -> Result<(), PrepareError> {
        let (shared, run) = (Arc::clone(&self.shared), self.run().clone());
        let layout = self.layout.clone();
        let described = self
            .shared
            .tracker
            .spawn_blocking(move || prepare(&shared, &run, &user, &layout))
            .await??;
        Ok(supervisor::create(&self.job(JobKind::Command), &described).await?)
    }

    async fn refuse(&mut self, error: PrepareError) -> Result<(), DriveError> {
        let error = anyhow::Error::from(error);
        let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        let exit = Exit::Refused { step: error.to_string(), detail: causes.join(": ") };
        Ok(self.journal.record(Event::Exited(exit)).await?)
    }
}

/// Makes everything that the command needs, from scratch, and describes the job. Touches nothing
/// outside the run's directory and the user's caches.
fn prepare(
    shared: &Shared,
    run: &Run,
    user: &UserName,
    layout: &Layout,
) -> Result<Job, PrepareError> {
    let settings = &shared.settings;
    let owner = Owner::of(run);
    settings.host_uids.check(run.host_uid)?;
    shared.check_room(0)?;
    let terms = Terms::parse(&run.contract).map_err(WorkspaceError::from)?;
    let egress = egress(shared, run, &terms);
    // Later jobs go on where the one before them has stopped.
    let is_first = run.job == 1;
    let view = if is_first {
        let servers = egress.as_ref().map_or(&[][..], |policy| &policy.mcp);
        fresh(shared, run, user, layout, &terms, servers)?
    } else {
        shared.view(run, user, layout)?
    };
    let agent = agent_start(settings, run, egress.as_ref());
    let input = PolicyInput {
        config: &settings.config,
        state: &settings.state,
        tools: &settings.tools,
        terms: &terms,
        run: &run.id,
        user,
        layout,
        view: &view,
        owner,
        egress: egress.as_ref(),
        agent: agent.as_ref(),
    };
    let mut steps = Vec::new();
    for (index, text) in run.contract.setup.iter().enumerate().filter(|_| is_first) {
        let spec = workspace::spec(&input, Purpose::Setup(index))?;
        steps.push(Step { name: text.clone(), spec });
    }
    let spec = workspace::spec(&input, Purpose::Command)?;
    steps.push(Step { name: "command".to_owned(), spec });
    if is_first {
        // Last: the daemon cannot look at it any more.
        workspace::give(layout, steps.iter().map(|step| &step.spec), owner)?;
    }
    let limit = settings.config.runs.time_limit.as_secs();
    Ok(Job {
        steps,
        egress,
        time_limit_seconds: Some(match run.contract.time_limit_seconds {
            0 => limit,
            wanted => wanted.min(limit),
        }),
        setup_limit_seconds: Some(limit),
        output_limit_bytes: settings.config.runs.output_bytes,
        kill_grace_ms: KILL_GRACE_MS,
        disk: Some(DiskLimits::new(
            settings.config.runs.disk_bytes,
            settings.config.store.reserve_bytes,
        )),
        writable: Some(workspace::real_layout(layout)?.writable()),
        reads: if agent.is_some() { Reads::Pipe } else { Reads::Nothing },
    })
}

/// Makes the tree and the home of a run from scratch.
fn fresh(
    shared: &Shared,
    run: &Run,
    user: &UserName,
    layout: &Layout,
    terms: &Terms,
    servers: &[McpServer],
) -> Result<View, PrepareError> {
    let owner = Owner::of(run);
    // What an earlier attempt left is removed by what follows.
    workspace::take_back(layout, owner)?;
    let launcher = &shared.settings.config.isolation.launcher;
    let starts_as_root = rustix::process::geteuid().is_root() || launcher.is_some();
    layout.create(if starts_as_root { Bound::Quota } else { Bound::Watch })?;
    let view = shared.fresh_view(run, user, layout)?;
    workspace::make_home(terms, layout, owner)?;
    if let (Some(_), Some(kind)) = (&terms.agent_directory, Kind::from_name(&run.contract.agent)) {
        let door = |url: &str| {
            let (url, header) = egress::mcp_door(servers, url)?;
            Some(mcp::Door { url, header: header.to_owned() })
        };
        let settle = |content: &[u8]| mcp::settle(kind, content, door);
        let blobs = &*shared.store.blobs;
        let snapshot = shared.snapshots.read(blobs, user, run.snapshot)?;
        let session = snapshot.manifest.session.as_ref();
        workspace::make_agent_directory(
            blobs,
            user,
            session,
            layout,
            owner,
            kind.mcp_file(),
            settle,
        )?;
    }
    Ok(view)
}

/// How the run's agent is started, if it has one that is driven.
fn agent_start(settings: &RunSettings, run: &Run, egress: Option<&Policy>) -> Option<AgentStart> {
    let (kind, beginning) = beginning(run, run.id.as_str())?;
    let terms = beginning.terms;
    let program = settings.config.agent_program(kind);
    let provider = settings.config.agent_provider(kind);
    let base_url = egress.and_then(|policy| egress::provider_url(policy, provider));
    let of_model = base_url.map(|url| kind.model_arguments(&url));
    let arguments = kind.arguments(&beginning).into_iter().chain(of_model.into_iter().flatten());
    let arguments = arguments.map(OsString::from);
    let directory = String::from_utf8_lossy(&terms.directory);
    let variables = kind.variables(&directory).into_iter();
    Some(AgentStart {
        argv: [program.into()].into_iter().chain(arguments).collect(),
        variables: variables.map(|(name, value)| (name.into(), value.into())).collect(),
    })
}

/// What the run may reach, if its network is fenced. Credentials are looked for anew for each run.
fn egress(shared: &Shared, run: &Run, terms: &Terms) -> Option<Policy> {
    let config = &shared.settings.config;
    if config.network.access != NetworkAccess::Fenced {
        return None;
    }
    let credentials = Credentials::new(&shared.settings.state);
    let wish =
        Wish { hosts: &terms.hosts, git_remotes: &terms.git_remotes, name: run.name.as_str() };
    let allowed = config.egress(|name| credentials.find(name));
    Some(egress::compose(allowed, &wish))
}
