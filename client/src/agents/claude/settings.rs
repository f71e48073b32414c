//! What of the user's settings means something in a run: models, permissions, output; definitions of
//! MCP servers without secrets. What runs programs of the laptop, or signs in, stays there.

use std::io;
use std::path::Path;

use handoff_proto::path::AbsolutePath;
use serde_json::{Map, Value};

use crate::agents::export::{AgentError, Needs, Setup, Stays};

/// The settings, and what is kept beside them.
const SETTINGS: &str = "settings.json";
const STATE: &str = ".claude.json";

/// Settings that name programs of this machine, or say how to sign in; and marketplaces, whose
/// plugins are elsewhere on this machine.
const SETTINGS_OF_THIS_MACHINE: [&str; 10] = [
    "apiKeyHelper",
    "awsAuthRefresh",
    "awsCredentialExport",
    "enabledPlugins",
    "extraKnownMarketplaces",
    "fileSuggestion",
    "forceLoginMethod",
    "forceLoginOrgUUID",
    "hooks",
    "otelHeadersHelper",
];

/// Settings that say nothing to an agent without a user interface: nobody misses them.
const SETTINGS_OF_THE_SCREEN: [&str; 3] = ["statusLine", "theme", "spinnerTipsEnabled"];

/// Words in names of variables and headers that hold secrets.
const SECRET_NAMES: [&str; 8] =
    ["auth", "cookie", "credential", "key", "passw", "secret", "session", "token"];

/// Takes along what means something there.
pub(super) fn export(
    setup: &mut Setup<'_>,
    top: &Path,
    directory: &AbsolutePath,
) -> Result<(), AgentError> {
    if let Some(settings) = read(&top.join(SETTINGS))? {
        let kept = kept_settings(settings, &mut setup.stays);
        setup.text(SETTINGS, pretty(&Value::Object(kept)));
    }
    let mut servers = Map::new();
    if let Some(state) = read(&state_file(top))? {
        // Those of this directory come after those of the user, and win.
        let of_project = directory.as_os_path().ancestors().find_map(|directory| {
            state.get("projects")?.get(directory.to_str()?)?.get("mcpServers")?;
            state.get("projects")?.get(directory.to_str()?)
        });
        for place in [Some(&Value::Object(state.clone())), of_project].into_iter().flatten() {
            let definitions = place.get("mcpServers").and_then(Value::as_object);
            for (name, definition) in definitions.into_iter().flatten() {
                match secret_of(definition) {
                    None => {
                        note_needs(definition, &mut setup.needs);
                        servers.insert(name.clone(), definition.clone());
                    }
                    Some(secret) => setup.stays.push(Stays {
                        what: format!("MCP server {name}"),
                        why: format!("{secret} looks like a secret, which would be in the run"),
                    }),
                }
            }
        }
    }
    if !servers.is_empty() {
        let state = Map::from_iter([("mcpServers".to_owned(), Value::Object(servers))]);
        setup.text(STATE, pretty(&Value::Object(state)));
    }
    Ok(())
}

/// Beside `~/.claude`, or in a directory of another name.
fn state_file(top: &Path) -> std::path::PathBuf {
    match top.parent() {
        Some(home) if top.ends_with(".claude") && !top.join(STATE).exists() => home.join(STATE),
        Some(_) | None => top.join(STATE),
    }
}

fn read(path: &Path) -> Result<Option<Map<String, Value>>, AgentError> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AgentError::read(path)(error)),
    };
    let settings = serde_json::from_slice(&content);
    settings.map(Some).map_err(|source| AgentError::Settings { path: path.to_owned(), source })
}

fn kept_settings(mut settings: Map<String, Value>, stays: &mut Vec<Stays>) -> Map<String, Value> {
    for name in SETTINGS_OF_THE_SCREEN {
        settings.remove(name);
    }
    for name in SETTINGS_OF_THIS_MACHINE {
        if settings.remove(name).is_some_and(|value| !(name == "hooks" && is_all_ours(&value))) {
            stays.push(Stays {
                what: format!("setting {name}"),
                why: "it is about this machine".to_owned(),
            });
        }
    }
    if let Some(Value::Object(environment)) = settings.get_mut("env") {
        environment.retain(|name, _| {
            let stays_here = is_secret_name(name) || name.starts_with("ANTHROPIC_BASE");
            if stays_here {
                stays.push(Stays {
                    what: format!("setting env.{name}"),
                    why: "credentials are the daemon's".to_owned(),
                });
            }
            !stays_here
        });
    }
    settings
}

/// Whether all hooks are those by which a session is handed off from within: nobody misses them.
fn is_all_ours(hooks: &Value) -> bool {
    match hooks {
        Value::Object(fields) => fields.iter().all(|(name, value)| match value {
            Value::String(command) if name == "command" => command.contains("hook claude"),
            value => is_all_ours(value),
        }),
        Value::Array(values) => values.iter().all(is_all_ours),
        _ => true,
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
    for place in ["env", "headers"] {
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

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|word| name.contains(word))
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut text = format!("{value:#}").into_bytes();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_about_this_machine_stays_and_is_named() {
        let mut stays = Vec::new();
        let Value::Object(settings) = json!({
            "model": "opus",
            "permissions": { "allow": ["Bash(ls)"] },
            "statusLine": {},
            "apiKeyHelper": "x",
            "hooks": { "UserPromptSubmit": [{ "hooks": [{ "command": "fmt" }] }] },
            "env": { "A": "1", "MY_TOKEN": "2" },
        }) else {
            unreachable!()
        };
        let kept = kept_settings(settings, &mut stays);
        let expected = json!({
            "model": "opus", "permissions": { "allow": ["Bash(ls)"] }, "env": { "A": "1" },
        });
        assert_eq!(Value::Object(kept), expected);
        let names: Vec<&str> = stays.iter().map(|stays| stays.what.as_str()).collect();
        assert_eq!(names, ["setting apiKeyHelper", "setting hooks", "setting env.MY_TOKEN"]);
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
        assert_eq!(of(json!({ "url": "https://c.test/x@y" })), None);
    }
}
