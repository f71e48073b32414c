//! The services that runs use with the daemon's credentials: what is known without being set, and
//! what the settings say. A service without a credential is none.

use std::path::PathBuf;

use super::{Config, Provider};
use crate::agents::Kind;
use crate::egress::{self, Api, Upstream};

/// Model APIs that need no settings but a credential: name, place, what they speak.
const KNOWN: [(&str, &str, Api); 3] = [
    ("anthropic", "https://api.anthropic.com", Api::Anthropic),
    ("openai", "https://api.openai.com", Api::OpenAi),
    ("gemini", "https://generativelanguage.googleapis.com", Api::Gemini),
];

/// For whom tokens of git hosts are unless that is set; the large hosts take any name.
const GIT_USERNAME: &str = "x-access-token";

/// Where a provider is that needs no settings, and what it speaks.
pub(super) fn known_provider(name: &str) -> Option<(&'static str, Api)> {
    KNOWN.iter().find(|(known, _, _)| *known == name).map(|(_, url, api)| (*url, *api))
}

impl Config {
    /// The program of an agent, as runs find it.
    #[must_use]
    pub(crate) fn agent_program(&self, kind: Kind) -> &str {
        let set = self.agents.get(kind.name()).and_then(|agent| agent.command.as_deref());
        set.unwrap_or_else(|| kind.name())
    }

    /// The name of the model API that an agent uses.
    #[must_use]
    pub(crate) fn agent_provider(&self, kind: Kind) -> &str {
        let set = self.agents.get(kind.name()).and_then(|agent| agent.provider.as_deref());
        set.unwrap_or_else(|| kind.provider())
    }

    /// What fenced runs may reach by these settings; `credential` finds the file of one by name.
    #[must_use]
    pub fn egress(&self, credential: impl Fn(&str) -> Option<PathBuf>) -> egress::Terms {
        let unset = KNOWN.iter().filter(|(name, _, _)| !self.providers.contains_key(*name));
        let mut providers: Vec<(&str, Provider)> =
            unset.map(|(name, _, _)| (*name, Provider::default())).collect();
        providers.extend(self.providers.iter().map(|(name, set)| (name.as_str(), set.clone())));
        providers.sort_by_key(|(name, _)| *name);
        let providers = providers.into_iter().filter_map(|(name, set)| {
            let known = known_provider(name);
            let base_url = set.base_url.or_else(|| known.and_then(|(url, _)| url.parse().ok()))?;
            Some(egress::Provider {
                name: name.to_owned(),
                api: set.api.or_else(|| known.map(|(_, api)| api))?,
                base_url,
                credential: credential(set.credential.as_deref().unwrap_or(name))?,
            })
        });
        let git = self.git.iter().filter_map(|(host, set)| {
            let base_url = set.base_url.clone().unwrap_or_else(|| Upstream::of(host.clone()));
            let host = host.to_string();
            Some(egress::GitHost {
                base_url,
                username: set.username.clone().unwrap_or_else(|| GIT_USERNAME.to_owned()),
                credential: credential(set.credential.as_deref().unwrap_or(&host))?,
                repositories: Vec::new(),
                host,
            })
        });
        egress::Terms {
            hosts: self.network.hosts.clone(),
            addresses: self.network.addresses.clone(),
            providers: providers.collect(),
            git: git.collect(),
        }
    }
}
