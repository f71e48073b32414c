//! The fence: what runs reach of the network, and how they use credentials that they never see.
//!
//! A run's network has nothing but loopback, and on it the sandbox's doors: sockets that are served
//! from outside. Its supervisor starts a *gateway* when somebody knocks: a process that gives up
//! root, if it had that, and holds the credentials; it judges every connection, whichever way it was
//! asked for, by one [`Policy`].
//!
//! ```text
//! run's network │ outside
//!   proxy ──────┤
//!   http, tls ──┼─▶ gateway ─ judge ─ resolve once ─ check address ─ dial ──▶ host
//!   services ───┤      └ adds the credential ───────────────────────────────▶ API, git host
//!   names ──────┤      (answers by itself)
//!               │      └ denials, usage ──▶ supervisor ──▶ daemon
//! ```
//!
//! - A host is judged by [`Policy::judge`] alone, in the one spelling that [`Host`] has.
//! - The address that was checked is the address that is dialled.
//! - Fails closed: without a gateway nothing is reached.
//!
//! Not promised: that nothing leaks through a host that is allowed.

mod host;
mod rule;

mod address;
mod dial;
mod policy;

mod compose;
mod environment;
mod remotes;
mod usual;

mod carry;
mod hello;
mod message;
mod relay;

mod names;
mod proxy;

mod git;
mod mcp;
mod provider;
mod push;
mod secret;
mod services;
mod sign_in;
mod upstream;
mod usage;

mod gateway;
mod handover;
mod hold;
mod notice;
mod outside;
mod privileges;

use std::ffi::OsString;
use std::process::ExitCode;

pub use self::compose::{Terms, Wish, compose};
pub use self::environment::{mcp_door, provider_url, variables};
pub use self::hold::Gateway;
pub use self::host::{Authority, Host, HostError};
pub use self::notice::{Denial, Notice, Stale, Summary, Unrenewed, Usage};
pub(crate) use self::outside::post;
pub use self::policy::{Api, CredentialKind, GitHost, McpServer, Policy, Provider};
pub use self::rule::{Rule, RuleError};
pub use self::secret::Secret;
pub(crate) use self::secret::written;
pub(crate) use self::services::NOT_PROVIDERS;
pub use self::upstream::{Upstream, UpstreamError};

/// The hidden subcommand that is a gateway.
const GATEWAY: &str = "gateway";

/// Runs the hidden subcommand if the arguments name it.
///
/// The executable calls this with its arguments, its own name first, before it starts a thread or
/// a runtime, and returns the code if there is one.
#[must_use]
pub fn entry(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, subcommand] = arguments else { return None };
    (subcommand == GATEWAY).then(gateway::run)
}
