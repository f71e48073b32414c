//! The sandbox policy of one step of a run.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use handoff_proto::run::RunId;
use handoff_sandbox::{Access, Account, LayerName, Limits, Mount, Network, Overlay, Spec};
use thiserror::Error;

use super::caches::caches;
use super::environment::environment;
use super::layout::Layout;
use super::mounts;
use super::owner::Owner;
use super::terms::Terms;
use super::tools::Tools;
use super::view::View;
use crate::config::{Config, NetworkAccess};
use crate::egress::Policy;
use crate::store::UserName;

/// The host name that runs see.
pub(crate) const HOSTNAME: &str = "handoff";

/// The directory of caches in a daemon's state.
pub(crate) fn caches_directory(state: &Path) -> PathBuf {
    state.join("caches")
}

/// What the steps of one run have in common.
#[derive(Clone, Copy, Debug)]
pub struct PolicyInput<'a> {
    /// The daemon's settings.
    pub config: &'a Config,
    /// The daemon's state directory.
    pub state: &'a Path,
    /// Programs beside the system's.
    pub tools: &'a Tools,
    /// What the run may do.
    pub terms: &'a Terms,
    /// The run.
    pub run: &'a RunId,
    /// Whose run it is.
    pub user: &'a UserName,
    /// Where the run's files are.
    pub layout: &'a Layout,
    /// What its tree is made of.
    pub view: &'a View,
    /// Who the run is on the host.
    pub owner: Owner,
    /// What it may reach, if its network is fenced.
    pub egress: Option<&'a Policy>,
    /// How its agent is started, if it has one that is driven.
    pub agent: Option<&'a AgentStart>,
}

/// How an agent is started instead of the contract's command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentStart {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Variables that it needs, whatever the client says.
    pub variables: Vec<(OsString, OsString)>,
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The contract's setup step of this index.
    Setup(usize),
    /// The command.
    Command,
}

/// No policy can be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The contract has no such setup step.
    #[error("contract has no setup step {0}")]
    NoSuchStep(usize),
    /// A cache directory.
    #[error("cannot make the directory of a cache")]
    Cache(#[source] io::Error),
    /// A directory of the daemon's state, or a file in it.
    #[error("cannot use {}", path.display())]
    Place {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The settings require something unknown.
    #[error("`[isolation] require` names the unknown layer {name:?}; known are {known}")]
    UnknownLayer {
        /// What the settings name.
        name: String,
        /// What could be named.
        known: String,
    },
}

/// Makes the policy of a step, and the directories of the contract's caches.
///
/// # Errors
///
/// When there is no such step, a cache cannot be made or the settings name an unknown layer.
pub fn spec(input: &PolicyInput<'_>, purpose: Purpose) -> Result<Spec, PolicyError> {
    let terms = input.terms;
    let (argv, name) = match purpose {
        Purpose::Command => {
            let agent = input.agent.map(|agent| &agent.argv);
            (agent.unwrap_or(&terms.command).clone(), "command".to_owned())
        }
        Purpose::Setup(index) => {
            let text = terms.setup.get(index).ok_or(PolicyError::NoSuchStep(index))?;
            (vec!["/bin/sh".into(), "-c".into(), text.clone()], format!("setup-{index}"))
        }
    };
    let git_config = mounts::git_config(terms);
    let mut mounts = step_mounts(input)?;
    let overlay = overlay(input, Access::ReadWrite)?;
    mounts.retain(|mount| overlay.as_ref().is_none_or(|overlay| overlay.target != mount.target));
    Ok(Spec {
        name: format!("{}-{name}", input.run),
        argv,
        env: environment(terms, input.tools, git_config.as_ref(), input.egress, input.agent),
        cwd: terms.directory.as_os_path().to_owned(),
        account: account(terms),
        host_uid: input.owner.host_uid(),
        hostname: HOSTNAME.to_owned(),
        mounts: mounts::without_carried(mounts, terms, input.view, input.layout),
        overlays: overlay.into_iter().collect(),
        terminal: match purpose {
            // An agent that is driven is spoken to through pipes.
            Purpose::Command if input.agent.is_none() => terms.terminal,
            Purpose::Command | Purpose::Setup(_) => None,
        },
        network: match input.config.network.access {
            NetworkAccess::Fenced => Network::Fenced,
            NetworkAccess::None => Network::None,
            NetworkAccess::Host => Network::Host,
        },
        limits: limits(input.config),
        umask: terms.umask,
        require: required_layers(input.config)?,
    })
}

/// The tree as an overlay, if it is one.
pub(crate) fn overlay(
    input: &PolicyInput<'_>,
    access: Access,
) -> Result<Option<Overlay>, PolicyError> {
    let layout = real_layout(input.layout)?;
    let place = |source| PolicyError::Place { path: input.state.to_owned(), source };
    input.view.overlay(&layout, &input.terms.root, access).map_err(place)
}

/// The mounts that a step may have.
pub(crate) fn step_mounts(input: &PolicyInput<'_>) -> Result<Vec<Mount>, PolicyError> {
    let state = real_path(input.state)?;
    let layout = real_layout(input.layout)?;
    let caches = caches(&caches_directory(&state), input.user, input.terms, input.owner)
        .map_err(PolicyError::Cache)?;
    Ok(mounts::mounts(input.terms, &layout, &caches, input.tools))
}

/// The layout under the real path of the run's directory, as sources of mounts must have it.
pub(crate) fn real_layout(layout: &Layout) -> Result<Layout, PolicyError> {
    real_path(layout.run()).map(Layout::new)
}

fn real_path(path: &Path) -> Result<PathBuf, PolicyError> {
    path.canonicalize().map_err(|source| PolicyError::Place { path: path.to_owned(), source })
}

/// The account inside, for any job of a run.
pub(crate) fn account(terms: &Terms) -> Account {
    Account {
        uid: terms.account.uid,
        gid: terms.account.gid,
        user: terms.account.name.clone(),
        home: PathBuf::from(terms.account.home.as_os_path()),
    }
}

/// The limits of any job of a run.
pub(crate) fn limits(config: &Config) -> Limits {
    Limits {
        memory_bytes: config.runs.memory_bytes,
        processes: config.runs.processes.into(),
        file_size_bytes: Some(config.runs.disk_bytes),
        ..Limits::default()
    }
}

/// The layers that the settings require.
pub(crate) fn required_layers(config: &Config) -> Result<Vec<LayerName>, PolicyError> {
    let known = || LayerName::ALL.map(LayerName::as_str).join(", ");
    let find = |name: &String| {
        LayerName::ALL
            .into_iter()
            .find(|layer| layer.as_str() == name)
            .ok_or_else(|| PolicyError::UnknownLayer { name: name.clone(), known: known() })
    };
    config.isolation.require.iter().map(find).collect()
}
