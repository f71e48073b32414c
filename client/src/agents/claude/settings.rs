//! What of the user's settings means something in a run: models, permissions, output; definitions of
//! MCP servers without secrets. What runs programs of the laptop, or signs in, stays there.

use std::io;
use std::path::Path;

use handoff_proto::path::AbsolutePath;
use serde_json::{Map, Value};

use crate::agents::export::{AgentError, Setup, Stays};
use crate::agents::mcp::{self, is_secret_name};

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

/// Beginnings of the names of variables that say how to reach the model, and as whom.
const OF_PROVIDERS: [&str; 5] = ["ANTHROPIC_", "AWS_", "CLAUDE_CODE_USE_", "CLOUD_ML_", "GOOGLE_"];

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
                if let Some(definition) = mcp::take(name, definition, setup) {
                    servers.insert(name.clone(), definition);
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
            let of_the_way = name.to_ascii_uppercase().ends_with("_PROXY")
                || OF_PROVIDERS.iter().any(|start| name.starts_with(start));
            let stays_here = is_secret_name(name) || of_the_way;
            if stays_here {
                stays.push(Stays {
                    what: format!("setting env.{name}"),
                    why: "how to reach the model is the daemon's affair".to_owned(),
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
}
