//! The credentials of a gateway's services.

use std::path::Path;

use super::{Known, Means, complain};
use crate::egress::policy::{CredentialKind, GitHost, McpServer, Policy, Provider};
use crate::egress::secret::Secret;
use crate::egress::sign_in::Held;

/// The credentials, read while the files can be.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) providers: Vec<Known<Provider, Means>>,
    pub(super) git: Vec<Known<GitHost>>,
    pub(super) mcp: Vec<Known<McpServer>>,
}

impl Secrets {
    pub(super) fn read(policy: &Policy) -> Self {
        let secret = |path: &Path| match std::fs::read_to_string(path) {
            Ok(text) => Some(Secret::new(&text)),
            Err(error) => {
                complain(&format!("read credential {}: {error}", path.display()));
                None
            }
        };
        let means = |provider: &Provider| {
            let secret = secret(&provider.credential)?;
            if provider.kind != CredentialKind::SignIn {
                return Some(Means::Secret(secret));
            }
            let held = Held::read(&secret);
            if held.is_none() {
                complain(&format!("{} holds no sign-in", provider.credential.display()));
            }
            held.map(Means::SignIn)
        };
        let provider =
            |provider: &Provider| Known { service: provider.clone(), credential: means(provider) };
        let git =
            |git: &GitHost| Known { service: git.clone(), credential: secret(&git.credential) };
        let mcp =
            |mcp: &McpServer| Known { service: mcp.clone(), credential: secret(&mcp.credential) };
        Self {
            mcp: policy.mcp.iter().map(mcp).collect(),
            providers: policy.providers.iter().map(provider).collect(),
            git: policy.git.iter().map(git).collect(),
        }
    }
}
