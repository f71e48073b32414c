//! What one run may reach, from the operator's settings, the credentials that there are, and the
//! run's contract.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::host::Host;
use super::policy::{CredentialKind, GitHost, McpServer, Policy, Provider};
use super::remotes;
use super::rule::Rule;
use super::usual::USUAL_HOSTS;

/// What the operator allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Hosts beside the usual ones.
    pub hosts: Vec<Rule>,
    /// Hosts placed by hand.
    pub addresses: BTreeMap<Host, Vec<IpAddr>>,
    /// Model APIs by name: what they speak, where they are, the file with their credential.
    pub providers: Vec<Provider>,
    /// Git hosts, for any repository.
    pub git: Vec<GitHost>,
    /// MCP servers.
    pub mcp: Vec<McpServer>,
}

/// What the run asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish<'a> {
    /// Hosts beside those that the operator allows.
    pub hosts: &'a [Rule],
    /// URLs of the repository's remotes.
    pub git_remotes: &'a [String],
    /// The run's name, which makes the ref that it may push to.
    pub name: &'a str,
}

/// Puts a run's policy together.
#[must_use]
pub fn compose(terms: Terms, wish: &Wish<'_>) -> Policy {
    let mut allow: Vec<Rule> = USUAL_HOSTS.iter().filter_map(|host| host.parse().ok()).collect();
    allow.extend(terms.hosts);
    allow.extend(wish.hosts.iter().cloned());
    // Where users are signed in there is more than a model API: no run gets there by itself.
    let apis = terms.providers.iter().filter(|known| known.kind != CredentialKind::SignIn);
    allow.extend(apis.map(|known| Rule::only(known.base_url.authority())));
    let remotes: Vec<_> = wish.git_remotes.iter().filter_map(|url| remotes::read(url)).collect();
    let git = terms.git.into_iter().filter_map(|mut git| {
        let own = remotes.iter().filter(|remote| remote.host.to_string() == git.host);
        git.repositories = own.map(|remote| remote.path.clone()).collect();
        git.repositories.sort();
        git.repositories.dedup();
        (!git.repositories.is_empty()).then_some(git)
    });
    Policy {
        allow,
        addresses: terms.addresses,
        providers: terms.providers,
        git: git.collect(),
        mcp: terms.mcp,
        push_ref: format!("refs/heads/handoff/{}", wish.name),
    }
}
