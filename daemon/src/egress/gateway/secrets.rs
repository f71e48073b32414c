//! The credentials of a gateway's services.

use std::path::Path;

use super::{Known, Means, complain};
use crate::egress::policy::{CredentialKind, GitHost, McpServer, Policy, Provider};
use crate::egress::secret::Secret;
use crate::egress::sign_in::{Held, Renewed};
use crate::sign_in::SignIn;

/// The credentials, read while the files can be.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) providers: Vec<Known<Provider, Means>>,
    pub(super) git: Vec<Known<GitHost>>,
    pub(super) mcp: Vec<Known<McpServer>>,
}

impl Secrets {
    /// Reads all but the sign-ins, which are handed over without what they are renewed with.
    pub(super) fn read(policy: &Policy, mut sign_ins: Vec<Renewed>) -> Self {
        let secret = |path: &Path| match Secret::read(path) {
            // Put there after the run was prepared for something else.
            Ok(secret) if SignIn::is_meant(secret.reveal()) => {
                complain(&format!(
                    "{} holds a sign-in, which is not sent as it is",
                    path.display()
                ));
                None
            }
            Ok(secret) => Some(secret),
            Err(error) => {
                complain(&format!("read credential {}: {error}", path.display()));
                None
            }
        };
        let mut means = |provider: &Provider| {
            if provider.kind != CredentialKind::SignIn {
                return secret(&provider.credential).map(Means::Secret);
            }
            let its = sign_ins.iter().position(|sign_in| sign_in.provider == provider.name)?;
            let held = Held::new(sign_ins.swap_remove(its)).map_err(|why| {
                complain(&format!("the sign-in for {}: {}", provider.name, why.reason));
            });
            held.ok().map(Means::SignIn)
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
