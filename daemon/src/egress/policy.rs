//! What one run may reach: plain data, written down with its job, and the one function that judges
//! a host, whether it comes out of CONNECT, a URL, a Host header, a TLS greeting or a name query.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::host::{Authority, Host};
use super::notice::{Denial, Reason};
use super::rule::Rule;
use super::upstream::Upstream;

/// What one run may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The hosts.
    pub allow: Vec<Rule>,
    /// Where hosts are that the operator placed by hand: these addresses are dialled as they are,
    /// private ones too, and no name server is asked.
    pub addresses: BTreeMap<Host, Vec<IpAddr>>,
    /// APIs for which the daemon has a credential.
    pub providers: Vec<Provider>,
    /// Git hosts for which the daemon has a credential.
    pub git: Vec<GitHost>,
    /// The one ref that a run may push to those.
    pub push_ref: String,
    /// MCP servers for which the daemon has a credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mcp: Vec<McpServer>,
}

/// An MCP server that is called on behalf of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpServer {
    /// Its name: the second component of the path that the run sees.
    pub name: String,
    /// Where it is.
    pub url: Upstream,
    /// The header with the credential.
    pub header: String,
    /// What comes before the credential in it; empty for nothing.
    pub scheme: String,
    /// The file with the credential.
    pub credential: PathBuf,
}

/// A model API that is called on behalf of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name: the first component of the path that the run sees.
    pub name: String,
    /// What it speaks.
    pub api: Api,
    /// Where it is.
    pub base_url: Upstream,
    /// The file with the credential, which only the daemon's user can read.
    pub credential: PathBuf,
    /// What the credential is.
    #[serde(default)]
    pub kind: CredentialKind,
}

/// What a credential is, which decides how it is shown to an API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A key, or a token that is used like one.
    #[default]
    Key,
    /// A token for a subscription of Anthropic's, which lasts.
    Subscription,
    /// A sign-in to ChatGPT, which is renewed.
    SignIn,
}

impl CredentialKind {
    /// Its name in lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Subscription => "subscription",
            Self::SignIn => "sign-in",
        }
    }
}

/// What a model API speaks: its paths, and where its credential goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Messages.
    Anthropic,
    /// Responses and chat completions, and those compatible with them.
    OpenAi,
    /// Generate content.
    Gemini,
}

/// A git host that is called on behalf of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHost {
    /// Its name, as in the remotes' URLs.
    pub host: String,
    /// Where it is.
    pub base_url: Upstream,
    /// Whom the credential is for.
    pub username: String,
    /// The file with the credential.
    pub credential: PathBuf,
    /// The paths of the run's own remotes there, without a slash at either end and without `.git`.
    pub repositories: Vec<String>,
}

impl Policy {
    /// Judges a host and port. This is the only place that does.
    ///
    /// # Errors
    ///
    /// The denial, as the user is told it.
    pub fn judge(&self, asked: &Authority) -> Result<(), Denial> {
        if self.allow.iter().any(|rule| rule.matches(asked)) {
            Ok(())
        } else {
            Err(Denial::new(asked, Reason::NotListed))
        }
    }

    /// Whether any port of a host may be reached: what a name query can tell.
    #[must_use]
    pub fn knows(&self, host: &Host) -> bool {
        self.allow.iter().any(|rule| rule.is_about(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_passes_and_the_denial_says_what_would_allow_it() {
        let rule = |text: &str| text.parse::<Rule>().expect(text);
        let policy = Policy { allow: vec![rule("a.test"), rule("b.test:22")], ..Policy::default() };
        let asked = |text| Authority::parse(text, None).expect("an authority");
        assert_eq!(policy.judge(&asked("a.test:443")), Ok(()));
        assert_eq!(policy.judge(&asked("b.test:22")), Ok(()));
        let denial = policy.judge(&asked("evil.test:8443")).expect_err("not listed");
        assert_eq!(denial.fix, "--allow-host evil.test:8443");
        assert!(policy.judge(&asked("b.test:443")).is_err());
        assert!(policy.knows(&"b.test".parse().expect("a host")));
        assert!(!policy.knows(&"evil.test".parse().expect("a host")));
    }
}
