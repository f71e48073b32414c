//! What the operator sets: `handoffd.toml`, typed and with a default for every key.
//!
//! Nothing is silently ignored: an unknown key and a key without an effect yet are errors. Never
//! reads the environment by itself.

mod check;
mod load;
mod locations;
mod services;
mod value;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use handoff_proto::wire::FENCED;
use serde::Deserialize;

use crate::{
    egress::{Api, Host, Rule, Upstream},
    store::Quota,
};

pub use load::{ConfigError, Presence};
pub use locations::{Locations, LocationsError};
pub use value::{ValueError, parse_duration, parse_size};

const GIB: u64 = 1 << 30;

/// The daemon's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// Where state is kept.
    pub store: StoreSettings,
    /// What a run may use unless its contract asks for less.
    pub runs: RunLimits,
    /// Programs beside the system's.
    pub tools: Tools,
    /// How runs are kept in.
    pub isolation: Isolation,
    /// What runs may reach.
    pub network: Network,
    /// Model APIs that runs use with a credential of the daemon's, by name.
    pub providers: BTreeMap<String, Provider>,
    /// Git hosts that runs use with a credential of the daemon's, by host.
    pub git: BTreeMap<Host, GitHost>,
    /// MCP servers that runs use with a credential of the daemon's, by name.
    pub mcp: BTreeMap<String, McpServer>,
    /// Agents that are driven, by kind.
    pub agents: BTreeMap<String, Agent>,
}

/// `[listen]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Names under which clients reach this machine, for the certificate and for invitations.
    pub names: Vec<String>,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// The state directory; HANDOFFD_STATE wins over it.
    pub directory: Option<PathBuf>,
    /// Bytes of unique content that each user may store.
    #[serde(rename = "quota", deserialize_with = "value::size")]
    pub quota_bytes: u64,
    /// Pieces of unique content that each user may store, and entries of one tree.
    pub files: u64,
    /// Bytes that stay free on the disk of the state: below, nothing new is taken, and runs that
    /// have written something end.
    #[serde(rename = "reserve", deserialize_with = "value::size")]
    pub reserve_bytes: u64,
}

impl StoreSettings {
    /// What each user may store.
    #[must_use]
    pub fn quota(&self) -> Quota {
        Quota { bytes: self.quota_bytes, files: self.files }
    }
}

/// `[runs]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunLimits {
    /// How many runs go on at a time.
    pub concurrent: u32,
    /// Wall time of a run's command.
    #[serde(deserialize_with = "value::duration")]
    pub time_limit: Duration,
    /// Memory of a run.
    #[serde(rename = "memory", deserialize_with = "value::size")]
    pub memory_bytes: u64,
    /// Processes and threads of a run.
    pub processes: u32,
    /// What a run may write, in all and to one file: hard in all where it has a quota group, else
    /// watched.
    #[serde(rename = "disk", deserialize_with = "value::size")]
    pub disk_bytes: u64,
    /// How much of a run's standard output and error together is kept.
    #[serde(rename = "output", deserialize_with = "value::size")]
    pub output_bytes: u64,
}

/// `[tools]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tools {
    /// Absolute directories that runs see read-only and find in PATH, in this order.
    pub paths: Vec<PathBuf>,
}

/// `[isolation]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Isolation {
    /// What keeps runs in.
    pub backend: Backend,
    /// Layers without which a run is refused.
    pub require: Vec<String>,
    /// The socket of `handoffd launch`, by which a daemon that is not root has runs started; the
    /// directory around it is the launcher's own.
    pub launcher: Option<PathBuf>,
}

/// What keeps runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Namespaces and seccomp, set up by bubblewrap.
    #[default]
    Bubblewrap,
}

/// `[network]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// What a run reaches.
    #[serde(rename = "default")]
    pub access: NetworkAccess,
    /// Hosts that every fenced run may reach, beside the usual ones.
    pub hosts: Vec<Rule>,
    /// Where hosts are that name servers do not know, or that are in private networks. Dialled as
    /// they are.
    pub addresses: BTreeMap<Host, Vec<IpAddr>>,
}

/// `[providers.NAME]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    /// Where the API is; for the known names their own place.
    pub base_url: Option<Upstream>,
    /// The credential's name; by default the provider's.
    pub credential: Option<String>,
    /// What it speaks; for the known names what these speak.
    pub api: Option<Api>,
    /// What the credential is, where that cannot be seen.
    pub kind: Option<TokenKind>,
    /// Where a sign-in is renewed; by default where Codex renews it.
    pub token_url: Option<Upstream>,
}

/// What a credential of one line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A key.
    Key,
    /// A token for a subscription.
    Subscription,
}

/// `[git."HOST"]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GitHost {
    /// Where the host is reached; by default `https://HOST`.
    pub base_url: Option<Upstream>,
    /// The credential's name; by default the host's.
    pub credential: Option<String>,
    /// Whom the credential is for; most hosts take any name with a token.
    pub username: Option<String>,
}

/// `[mcp.NAME]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// Where the server is: what agents' own definitions of it begin with.
    pub url: Upstream,
    /// The credential's name; by default the server's.
    pub credential: Option<String>,
    /// The header with the credential; by default Authorization.
    pub header: Option<String>,
    /// What comes before it; by default Bearer in Authorization, and nothing elsewhere.
    pub scheme: Option<String>,
}

/// `[agents.KIND]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Its program, as runs find it: a name or a path; by default it is called like its kind.
    pub command: Option<String>,
    /// The model API that it uses; by default that of its vendor.
    pub provider: Option<String>,
}

/// What a run reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkAccess {
    /// The hosts that are allowed, through the fence.
    #[default]
    Fenced,
    /// Its own loopback only.
    None,
    /// Everything that this machine reaches, its own services included.
    Host,
}

impl NetworkAccess {
    /// Its name in settings and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fenced => FENCED,
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 7420)), names: Vec::new() }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { directory: None, quota_bytes: 50 * GIB, files: 10_000_000, reserve_bytes: GIB }
    }
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            concurrent: 4,
            time_limit: Duration::from_secs(6 * 3600),
            memory_bytes: 8 * GIB,
            processes: 4096,
            disk_bytes: 20 * GIB,
            output_bytes: GIB,
        }
    }
}
