//! What of Codex's settings means something in a run: what the model is and how it works, whether
//! this directory is trusted, MCP servers without secrets.

use std::io;
use std::path::Path;

use handoff_proto::path::AbsolutePath;
use toml::{Table, Value};

use crate::agents::export::{AgentError, Setup, Stays};
use crate::agents::mcp;

const SETTINGS: &str = "config.toml";

/// Settings that mean the same there.
const TAKEN: [&str; 12] = [
    "developer_instructions",
    "instructions",
    "model",
    "model_context_window",
    "model_reasoning_effort",
    "model_reasoning_summary",
    "model_verbosity",
    "personality",
    "project_doc_fallback_filenames",
    "project_doc_max_bytes",
    "tools",
    "web_search",
];

/// Settings that nobody misses there: of the user interface, of trust, which is taken for this
/// directory alone, and what the run decides.
const NOT_MISSED: [&str; 8] = [
    "approval_policy",
    "history",
    "hooks",
    "notice",
    "projects",
    "sandbox_mode",
    "sandbox_workspace_write",
    "tui",
];

/// Takes along what means something there.
pub(super) fn export(
    setup: &mut Setup<'_>,
    top: &Path,
    directory: &AbsolutePath,
) -> Result<(), AgentError> {
    let path = top.join(SETTINGS);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(AgentError::read(&path)(error)),
    };
    let settings: Table = toml::from_str(&text)
        .map_err(|source| AgentError::Toml { path, source: Box::new(source) })?;
    let kept = kept(settings, setup, directory);
    if !kept.is_empty() {
        setup.text(SETTINGS, kept.to_string().into_bytes());
    }
    Ok(())
}

fn kept(settings: Table, setup: &mut Setup<'_>, directory: &AbsolutePath) -> Table {
    let mut kept = Table::new();
    for (name, value) in settings {
        match (name.as_str(), value) {
            (name, value) if TAKEN.contains(&name) => {
                kept.insert(name.to_owned(), value);
            }
            ("mcp_servers", Value::Table(servers)) => {
                let taken = servers.into_iter().filter_map(|(name, definition)| {
                    let definition = serde_json::to_value(definition).unwrap_or_default();
                    let definition = mcp::take(&name, &definition, setup)?;
                    Some((name, Value::try_from(definition).ok()?))
                });
                let taken = taken.collect();
                kept.insert(name, Value::Table(taken));
            }
            ("projects", Value::Table(projects)) => {
                // The nearest directory above that there is a word about.
                let above = directory.as_os_path().ancestors();
                let known =
                    above.filter_map(|at| at.to_str()).find_map(|at| projects.get_key_value(at));
                if let Some((at, word)) = known {
                    let word = Table::from_iter([(at.clone(), word.clone())]);
                    kept.insert(name, Value::Table(word));
                }
            }
            (name, _) if NOT_MISSED.contains(&name) => {}
            (name, _) => setup.stays.push(Stays {
                what: format!("setting {name}"),
                why: "it may be about this machine".to_owned(),
            }),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_this_machine_stays_and_is_named() {
        let text = r#"
            model = "gpt"
            approval_policy = "never"
            notify = ["x"]
            [projects."/w"]
            trust_level = "trusted"
            [projects."/v"]
            trust_level = "trusted"
            [mcp_servers.a]
            command = "npx"
            [mcp_servers.b]
            command = "npx"
            env = { API_KEY = "x" }
            [mcp_servers.c]
            url = "https://c.test"
            http_headers = { X-Api-Key = "x" }
        "#;
        let mut setup = Setup::new(Path::new("/nowhere"));
        let kept = kept(toml::from_str(text).unwrap(), &mut setup, &"/w/sub".parse().unwrap());
        let expected = r#"
            model = "gpt"
            [projects."/w"]
            trust_level = "trusted"
            [mcp_servers.a]
            command = "npx"
            [mcp_servers.c]
            url = "https://c.test"
            http_headers = { X-Api-Key = "${HANDOFF_CREDENTIAL}" }
        "#;
        assert_eq!(kept, toml::from_str::<Table>(expected).unwrap());
        let names: Vec<&str> = setup.stays.iter().map(|stays| stays.what.as_str()).collect();
        assert_eq!(names, ["MCP server b", "setting notify"]);
    }
}
