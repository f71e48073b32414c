//! Definitions of MCP servers: what they rely on, and which of them hold secrets and stay here.

use handoff_proto::wire::CREDENTIAL_REFERENCE;
use serde_json::Value;

use super::export::{Needs, Setup, Stays};

/// Words in names of variables and headers that hold secrets.
const SECRET_NAMES: [&str; 10] = [
    "auth",
    "bearer",
    "cookie",
    "credential",
    "key",
    "passw",
    "secret",
    "session",
    "token",
    "_pat",
];

/// Where definitions have the headers that are sent to a server.
const HEADERS: [&str; 2] = ["headers", "http_headers"];

/// A definition as it goes along, if it does; takes down what it relies on, or why it stays.
pub(super) fn take(name: &str, definition: &Value, setup: &mut Setup<'_>) -> Option<Value> {
    let Some(secret) = secret_of(definition) else {
        note_needs(definition, &mut setup.needs);
        return Some(definition.clone());
    };
    let is_sse = definition.get("type").is_some_and(|kind| kind == "sse");
    if let Some((referring, url)) = referring(definition).filter(|_| !is_sse) {
        note_needs(&referring, &mut setup.needs);
        setup.needs.credentials.insert(name.to_owned(), url);
        return Some(referring);
    }
    let hint =
        if is_sse { "; the daemon can add one to \"http\" servers, not to \"sse\"" } else { "" };
    setup.stays.push(Stays {
        what: format!("MCP server {name}"),
        why: format!("{secret} looks like a secret, which would be in the run{hint}"),
    });
    None
}

/// The definition of a server over HTTP with references in place of its secrets, and its URL; none
/// where a secret is anywhere but in a header.
fn referring(definition: &Value) -> Option<(Value, String)> {
    let url = definition.get("url")?.as_str()?.to_owned();
    let mut referring = definition.clone();
    for place in HEADERS {
        let headers = referring.get_mut(place).and_then(Value::as_object_mut);
        for (name, value) in headers.into_iter().flatten() {
            if is_secret_name(name) {
                *value = Value::String(CREDENTIAL_REFERENCE.to_owned());
            }
        }
    }
    secret_of(&referring).is_none().then_some((referring, url))
}

/// Takes down what a server is started with: its program, and variables without another value.
fn note_needs(definition: &Value, needs: &mut Needs) {
    let program = definition.get("command").and_then(Value::as_str);
    needs.programs.extend(program.filter(|program| !program.contains('$')).map(str::to_owned));
    for after in definition.to_string().split("${").skip(1) {
        let name = after.split('}').next().unwrap_or_default();
        if format!("${{{name}}}") == CREDENTIAL_REFERENCE {
            continue;
        }
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            needs.variables.insert(name.to_owned());
        }
    }
}

/// The first thing in the definition of a server that may be a secret. Rather one too many stays.
fn secret_of(definition: &Value) -> Option<String> {
    for place in ["env", "headers", "http_headers"] {
        let named = definition.get(place).and_then(Value::as_object);
        for (name, value) in named.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            if (is_secret_name(name) && !is_reference(value)) || has_userinfo(value) {
                return Some(format!("its {place}.{name}"));
            }
        }
    }
    let words = definition.get("args").and_then(Value::as_array).into_iter().flatten();
    for word in words.filter_map(Value::as_str) {
        // A flag like `--api-key`, a header, or a URL that says who asks.
        let is_named = is_secret_name(word) && !word.starts_with('/') && !is_reference(word);
        if is_named || has_userinfo(word) || has_query(word) {
            return Some("one of its args".to_owned());
        }
    }
    let url = definition.get("url").and_then(Value::as_str).unwrap_or_default();
    (has_userinfo(url) || has_query(url)).then(|| "its url".to_owned())
}

/// Whether a value is nothing but a variable of the run's.
fn is_reference(value: &str) -> bool {
    let value = value.strip_prefix("Bearer ").unwrap_or(value);
    let name = value.strip_prefix("${").and_then(|value| value.strip_suffix('}'));
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

fn has_userinfo(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        rest.split('/').next().is_some_and(|authority| authority.contains('@'))
    })
}

fn has_query(text: &str) -> bool {
    text.contains("://") && text.contains('?')
}

pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_in_a_header_stays_and_the_definition_refers_to_the_daemons() {
        let mut setup = Setup::new(std::path::Path::new("/nowhere"));
        let secret = json!({ "Authorization": "Bearer s3cret", "X-Team": "x" });
        let taken = |definition: Value, setup: &mut Setup<'_>| take("a", &definition, setup);
        let url = "https://a.test/mcp";
        let sent = taken(json!({ "type": "http", "url": url, "headers": secret }), &mut setup);
        let headers = json!({ "Authorization": "${HANDOFF_CREDENTIAL}", "X-Team": "x" });
        assert_eq!(sent, Some(json!({ "type": "http", "url": url, "headers": headers })));
        assert_eq!(setup.needs.credentials["a"], url);
        assert!(setup.stays.is_empty() && setup.needs.variables.is_empty());
        for stays in [
            json!({ "command": "x", "env": { "API_KEY": "s3cret" } }),
            json!({ "command": "x", "headers": secret }),
            json!({ "url": "https://a.test/mcp?key=s3cret", "headers": secret }),
            json!({ "url": "https://u:s3cret@a.test/mcp" }),
            json!({ "type": "sse", "url": url, "headers": secret }),
            json!({ "url": url, "headers": { "X-Proxy": "https://u:s3cret@p.test" } }),
        ] {
            assert_eq!(taken(stays.clone(), &mut setup), None, "{stays}");
        }
        assert_eq!(setup.stays.len(), 6);
        assert!(setup.stays.iter().filter(|stays| stays.why.contains("\"sse\"")).count() == 1);
    }

    #[test]
    fn what_a_definition_needs_beside_the_daemons_secret_is_needed() {
        let mut setup = Setup::new(std::path::Path::new("/nowhere"));
        let headers = json!({ "Authorization": "Bearer s3cret", "X-Team": "${TEAM}" });
        let definition = json!({ "url": "https://a.test/mcp", "headers": headers });
        assert!(take("a", &definition, &mut setup).is_some());
        assert!(setup.needs.variables.iter().eq(["TEAM"]));
    }

    #[test]
    fn what_a_server_is_started_with_is_needed() {
        let mut needs = Needs::default();
        let definition = json!({
            "command": "npx", "args": ["x", "${HOME_OF}"], "env": { "A": "${B}", "C": "${D:-1}" },
        });
        note_needs(&definition, &mut needs);
        assert!(needs.programs.iter().eq(["npx"]));
        assert!(needs.variables.iter().eq(["B", "HOME_OF"]));
    }

    #[test]
    fn servers_with_secrets_are_known_by_the_names_of_what_holds_them() {
        let of = |definition| secret_of(&definition);
        assert_eq!(of(json!({ "command": "x", "env": { "PORT": "1" } })), None);
        assert!(of(json!({ "env": { "GITHUB_TOKEN": "x" } })).is_some());
        assert!(of(json!({ "headers": { "Authorization": "Bearer x" } })).is_some());
        assert_eq!(of(json!({ "headers": { "Authorization": "Bearer ${T}" } })), None);
        assert!(of(json!({ "url": "https://a:b@c.test/x" })).is_some());
        assert!(of(json!({ "url": "https://c.test/mcp?apiKey=x" })).is_some());
        assert!(of(json!({ "args": ["x", "--api-key", "y"] })).is_some());
        assert!(of(json!({ "args": ["--header", "Authorization: Bearer y"] })).is_some());
        assert!(of(json!({ "env": { "DATABASE_URL": "postgres://u:p@h/d" } })).is_some());
        assert!(of(json!({ "env": { "GITHUB_PAT": "x" } })).is_some());
        assert!(of(json!({ "headers": { "Authorization": "Bearer x ${T}" } })).is_some());
        assert!(of(json!({ "env": { "A_TOKEN": "${T:-literal}" } })).is_some());
        assert_eq!(of(json!({ "args": ["-y", "@x/server-filesystem", "/home/a/keys"] })), None);
        assert_eq!(of(json!({ "url": "https://c.test/x@y" })), None);
    }
}
