//! The variables by which programs in a run find the doors. Those that know none of them get there
//! all the same: names lead to the doors.

use handoff_sandbox::{DOOR_ADDRESS, Door};

use super::policy::{Api, CredentialKind, McpServer, Policy, Provider};
use super::services::{GIT, MCP};

/// What programs that insist on a key get; it opens nothing.
const PLACEHOLDER: &str = "handoff-placeholder";

/// What is on the run's own machine, as it were. The doors' address stands beside its network, which
/// some programs do not understand.
fn no_proxy() -> String {
    format!("localhost,127.0.0.1,{DOOR_ADDRESS},127.0.0.0/8,::1")
}

/// The variables of a run under this policy, in no order that matters.
#[must_use]
pub fn variables(policy: &Policy) -> Vec<(String, String)> {
    let proxy = format!("http://{DOOR_ADDRESS}:{}", Door::Proxy.port());
    let mut variables = Vec::new();
    let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
    // Programs read the one or the other, and some only believe the small letters.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        set(name, &proxy);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        set(name, &no_proxy());
    }
    // Node reads the others since version 24, if it is told to.
    set("NODE_USE_ENV_PROXY", "1");
    let services = services();
    for provider in &policy.providers {
        let (url, key) = match (provider.api, provider.kind) {
            // Only Codex speaks as it is spoken there, and reads no variable.
            (_, CredentialKind::SignIn) => continue,
            // Claude Code asks in another way, and for other models, if it has a subscription.
            (Api::Anthropic, CredentialKind::Subscription) => {
                ("ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN")
            }
            (Api::Anthropic, CredentialKind::Key) => ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
            (Api::OpenAi, _) => ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
            (Api::Gemini, _) => ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"),
        };
        set(url, &base_url(provider));
        set(key, PLACEHOLDER);
    }
    let mut settings = Vec::new();
    for git in &policy.git {
        // Only the run's own: other repositories of the host are reached without a credential.
        for path in &git.repositories {
            let ours = format!("url.{services}/{GIT}/{}/{path}.insteadOf", git.host);
            for theirs in ["https://{}/", "ssh://git@{}/", "git@{}:"] {
                settings.push((ours.clone(), theirs.replace("{}", &git.host) + path));
            }
        }
    }
    if !settings.is_empty() {
        set("GIT_CONFIG_COUNT", &settings.len().to_string());
        for (number, (key, value)) in settings.iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{number}"), key);
            set(&format!("GIT_CONFIG_VALUE_{number}"), value);
        }
    }
    variables
}

/// Where a run finds the provider of this name, if its policy has it.
#[must_use]
pub fn provider_url(policy: &Policy, name: &str) -> Option<String> {
    policy.providers.iter().find(|provider| provider.name == name).map(base_url)
}

/// Where a run finds the MCP server at this URL, and which header is added there, if one of these is
/// that server.
#[must_use]
pub fn mcp_door<'a>(servers: &'a [McpServer], url: &str) -> Option<(String, &'a str)> {
    servers.iter().find_map(|server| {
        let rest = server.url.covers(url)?;
        Some((format!("{}/{MCP}/{}{rest}", services(), server.name), &*server.header))
    })
}

fn base_url(provider: &Provider) -> String {
    let base = format!("{}/{}", services(), provider.name);
    match (provider.api, provider.kind) {
        (Api::OpenAi, CredentialKind::Key | CredentialKind::Subscription) => format!("{base}/v1"),
        (Api::OpenAi, CredentialKind::SignIn) | (Api::Anthropic | Api::Gemini, _) => base,
    }
}

fn services() -> String {
    format!("http://{DOOR_ADDRESS}:{}", Door::Services.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::policy::GitHost;

    #[test]
    fn a_run_is_told_of_doors_and_of_no_secret() {
        let policy = Policy {
            providers: vec![Provider {
                name: "openai".into(),
                api: Api::OpenAi,
                base_url: "https://api.test".parse().expect("a URL"),
                credential: "/state/credentials/openai".into(),
                kind: CredentialKind::Key,
            }],
            git: vec![GitHost {
                host: "host.test".into(),
                base_url: "https://host.test".parse().expect("a URL"),
                username: "x".into(),
                credential: "/state/credentials/git".into(),
                repositories: vec!["o/r".into()],
            }],
            ..Policy::default()
        };
        let variables = variables(&policy);
        let value = |name: &str| {
            variables.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(value("https_proxy"), Some("http://127.1.0.1:3128"));
        assert!(value("no_proxy").is_some_and(|hosts| hosts.split(',').any(|h| h == "127.1.0.1")));
        assert_eq!(value("OPENAI_BASE_URL"), Some("http://127.1.0.1:3129/openai/v1"));
        let url = provider_url(&policy, "openai");
        assert_eq!(url.as_deref(), value("OPENAI_BASE_URL"));
        assert_eq!(provider_url(&policy, "other"), None);
        assert_eq!(value("OPENAI_API_KEY"), Some(PLACEHOLDER));
        assert_eq!(value("GIT_CONFIG_COUNT"), Some("3"));
        assert_eq!(
            value("GIT_CONFIG_KEY_0"),
            Some("url.http://127.1.0.1:3129/git/host.test/o/r.insteadOf")
        );
        assert_eq!(value("GIT_CONFIG_VALUE_2"), Some("git@host.test:o/r"));
        assert!(!variables.iter().any(|(_, value)| value.contains("/state")));
    }

    #[test]
    fn an_mcp_server_is_found_by_its_url_alone() {
        let server = McpServer {
            name: "team".into(),
            url: "https://mcp.test/v1".parse().expect("a URL"),
            header: "authorization".into(),
            scheme: "Bearer".into(),
            credential: "/c".into(),
        };
        let servers = [server];
        let door = |url: &str| mcp_door(&servers, url).map(|(door, _)| door);
        let expected = "http://127.1.0.1:3129/mcp/team".to_owned();
        assert_eq!(door("https://mcp.test/v1"), Some(expected.clone()));
        assert_eq!(door("https://MCP.test:443/v1/"), Some(expected.clone()));
        assert_eq!(door("https://mcp.test/v1/a"), Some(format!("{expected}/a")));
        for other in [
            "http://mcp.test/v1",
            "https://mcp.test:8443/v1",
            "https://mcp.test/v10",
            "https://mcp.test/",
            "https://mcp.test/v1/../admin",
            "https://mcp.test/v1?key=x",
            "https://u@mcp.test/v1",
            "https://mcp.test.evil.test/v1",
            "team",
        ] {
            assert_eq!(door(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_subscription_is_for_is_what_it_is_named_for() {
        let named = |api, kind| {
            let provider = Provider {
                name: "p".into(),
                api,
                base_url: "https://api.test".parse().expect("a URL"),
                credential: "/state/credentials/p".into(),
                kind,
            };
            let policy = Policy { providers: vec![provider], ..Policy::default() };
            let variables = variables(&policy);
            let placeholders = variables.iter().filter(|(_, value)| value == PLACEHOLDER);
            let names: Vec<String> = placeholders.map(|(name, _)| name.clone()).collect();
            (names.join(" "), provider_url(&policy, "p").expect("a URL"))
        };
        let url = "http://127.1.0.1:3129/p".to_owned();
        assert_eq!(
            named(Api::Anthropic, CredentialKind::Subscription),
            ("CLAUDE_CODE_OAUTH_TOKEN".to_owned(), url.clone())
        );
        assert_eq!(named(Api::OpenAi, CredentialKind::SignIn), (String::new(), url.clone()));
        assert_eq!(
            named(Api::OpenAi, CredentialKind::Key),
            ("OPENAI_API_KEY".to_owned(), format!("{url}/v1"))
        );
    }
}
