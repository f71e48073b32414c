//! The services that runs use with the daemon's credentials: what is known without being set, and
//! what the settings say. A service without a credential is none.

use http::header;

use super::{Config, Provider, TokenKind};
use crate::agents::Kind;
use crate::credentials::Kept;
use crate::egress::{self, Api, CredentialKind, Upstream};
use crate::sign_in::Place;

/// Model APIs that need no settings but a credential: name, place, what they speak.
const KNOWN: [(&str, &str, Api); 3] = [
    ("anthropic", "https://api.anthropic.com", Api::Anthropic),
    ("openai", "https://api.openai.com", Api::OpenAi),
    ("gemini", "https://generativelanguage.googleapis.com", Api::Gemini),
];

/// Where Codex finds its models for whoever is signed in, and where it renews that.
const CHATGPT: &str = "https://chatgpt.com/backend-api/codex";
const SIGN_IN: &str = "https://auth.openai.com/oauth/token";

/// How tokens of MCP servers are announced unless that is set.
const SCHEME: &str = "Bearer";

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

    /// The sign-in of a provider, and where it is renewed.
    #[must_use]
    pub(crate) fn sign_in(&self, provider: &str) -> Option<Place> {
        let set = self.providers.get(provider);
        let url = set.and_then(|set| set.token_url.clone());
        Some(Place {
            credential: set.and_then(|set| set.credential.clone()).unwrap_or(provider.to_owned()),
            token_url: url.or_else(|| SIGN_IN.parse().ok())?,
            addresses: self.network.addresses.clone(),
        })
    }

    /// What fenced runs may reach by these settings; `credential` finds the file of one by name.
    #[must_use]
    pub fn egress(&self, credential: impl Fn(&str) -> Option<Kept>) -> egress::Terms {
        let unset = KNOWN.iter().filter(|(name, _, _)| !self.providers.contains_key(*name));
        let mut providers: Vec<(&str, Provider)> =
            unset.map(|(name, _, _)| (*name, Provider::default())).collect();
        providers.extend(self.providers.iter().map(|(name, set)| (name.as_str(), set.clone())));
        providers.sort_by_key(|(name, _)| *name);
        let providers = providers.into_iter().filter_map(|(name, set)| {
            let known = known_provider(name);
            let found = credential(set.credential.as_deref().unwrap_or(name))?;
            let kind = match (found.kind, set.kind) {
                (CredentialKind::SignIn, _) => CredentialKind::SignIn,
                (_, Some(TokenKind::Key)) => CredentialKind::Key,
                (_, Some(TokenKind::Subscription)) => CredentialKind::Subscription,
                (kind, None) => kind,
            };
            let api = set.api.or_else(|| known.map(|(_, api)| api))?;
            let usual = match kind {
                // Nobody is signed in anywhere else.
                CredentialKind::SignIn if api != Api::OpenAi => return None,
                CredentialKind::SignIn => Some(CHATGPT),
                CredentialKind::Key | CredentialKind::Subscription => known.map(|(url, _)| url),
            };
            Some(egress::Provider {
                name: name.to_owned(),
                api,
                base_url: set.base_url.or_else(|| usual?.parse().ok())?,
                credential: found.path,
                kind,
            })
        });
        let git = self.git.iter().filter_map(|(host, set)| {
            let base_url = set.base_url.clone().unwrap_or_else(|| Upstream::of(host.clone()));
            let host = host.to_string();
            Some(egress::GitHost {
                base_url,
                username: set.username.clone().unwrap_or_else(|| GIT_USERNAME.to_owned()),
                credential: credential(set.credential.as_deref().unwrap_or(&host))?.path,
                repositories: Vec::new(),
                host,
            })
        });
        let mcp = self.mcp.iter().filter_map(|(name, set)| {
            let header = set.header.clone().unwrap_or_else(|| header::AUTHORIZATION.to_string());
            let is_usual = header.eq_ignore_ascii_case(header::AUTHORIZATION.as_str());
            let scheme = if is_usual { SCHEME } else { "" };
            Some(egress::McpServer {
                name: name.clone(),
                url: set.url.clone(),
                credential: credential(set.credential.as_deref().unwrap_or(name))?.path,
                scheme: set.scheme.clone().unwrap_or_else(|| scheme.to_owned()),
                header,
            })
        });
        egress::Terms {
            mcp: mcp.collect(),
            hosts: self.network.hosts.clone(),
            addresses: self.network.addresses.clone(),
            providers: providers.collect(),
            git: git.collect(),
        }
    }
}
