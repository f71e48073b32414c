//! Definitions of MCP servers: what they rely on, and which of them hold secrets and stay here.

use serde_json::Value;

use super::export::{Needs, Setup, Stays};

/// Words in names of variables and headers that hold secrets.
const SECRET_NAMES: [&str; 8] =
    ["auth", "cookie", "credential", "key", "passw", "secret", "session", "token"];

/// Whether a definition goes along; takes down what it relies on, or why it stays.
pub(super) fn take(name: &str, definition: &Value, setup: &mut Setup<'_>) -> bool {
    match secret_of(definition) {
        None => {
            note_needs(definition, &mut setup.needs);
            true
        }
        Some(secret) => {
            setup.stays.push(Stays {
                what: format!("MCP server {name}"),
                why: format!("{secret} looks like a secret, which would be in the run"),
            });
            false
        }
    }
}

/// Takes down what a server is started with: its program, and variables without another value.
fn note_needs(definition: &Value, needs: &mut Needs) {
    let program = definition.get("command").and_then(Value::as_str);
    needs.programs.extend(program.filter(|program| !program.contains('$')).map(str::to_owned));
    for after in definition.to_string().split("${").skip(1) {
        let name = after.split('}').next().unwrap_or_default();
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            needs.variables.insert(name.to_owned());
        }
    }
}

/// The first thing in the definition of a server that looks like a secret.
fn secret_of(definition: &Value) -> Option<String> {
    for place in ["env", "headers", "http_headers"] {
        let named = definition.get(place).and_then(Value::as_object);
        for (name, value) in named.into_iter().flatten() {
            // A reference to a variable of the run's is no secret.
            let is_reference = value.as_str().is_some_and(|value| value.contains("${"));
            if is_secret_name(name) && !is_reference {
                return Some(format!("its {place}.{name}"));
            }
        }
    }
    let has_userinfo = |url: &str| {
        url.split_once("://").is_some_and(|(_, rest)| {
            rest.split('/').next().is_some_and(|authority| authority.contains('@'))
        })
    };
    let url = definition.get("url").and_then(Value::as_str);
    url.filter(|url| has_userinfo(url)).map(|_| "its url".to_owned())
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
        assert_eq!(of(json!({ "url": "https://c.test/x@y" })), None);
    }
}
