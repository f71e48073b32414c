//! The MCP servers that an agent's user has defined, as they mean something in a run: one for which
//! the daemon has a credential is reached through its door. Where a secret was, there is a reference
//! to a credential; a server with one that the daemon does not have is left out.

use handoff_proto::wire::CREDENTIAL_REFERENCE;
use serde_json::{Map, Value};

use super::Kind;

/// Where definitions have their headers.
const HEADERS: [&str; 3] = ["headers", "http_headers", "env_http_headers"];

/// Where Codex's name the variable with a token.
const TOKEN_VARIABLE: &str = "bearer_token_env_var";

/// A definition file as the run gets it; `door` tells where a URL leads that the daemon has a
/// credential for. None where it stays as it is.
pub(crate) fn settle(
    kind: Kind,
    content: &[u8],
    door: impl Fn(&str) -> Option<Door>,
) -> Option<Vec<u8>> {
    match kind {
        Kind::Claude => {
            let mut file: Value = serde_json::from_slice(content).ok()?;
            let servers = file.get_mut("mcpServers")?.as_object_mut()?;
            settle_all(servers, door).then(|| format!("{file:#}\n").into_bytes())
        }
        Kind::Codex => {
            let text = std::str::from_utf8(content).ok()?;
            let mut file: toml::Table = toml::from_str(text).ok()?;
            let found = serde_json::to_value(file.get("mcp_servers")?).ok()?;
            let Value::Object(mut servers) = found else { return None };
            if !settle_all(&mut servers, door) {
                return None;
            }
            let settled = toml::Value::try_from(servers).ok()?;
            drop(file.insert("mcp_servers".to_owned(), settled));
            Some(file.to_string().into_bytes())
        }
    }
}

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    /// The URL.
    pub(crate) url: String,
    /// The header that is added behind it.
    pub(crate) header: String,
}

/// Settles all definitions; tells whether any has changed.
fn settle_all(servers: &mut Map<String, Value>, door: impl Fn(&str) -> Option<Door>) -> bool {
    let mut has_changed = false;
    servers.retain(|_, server| {
        let url = server.get("url").and_then(Value::as_str).filter(|_| !is_sse(server));
        let found = url.and_then(&door);
        has_changed |= found.is_some() || refers(server);
        match (found, server) {
            (Some(door), Value::Object(server)) => {
                lead(server, door);
                true
            }
            (_, server) => !refers(server),
        }
    });
    has_changed
}

/// Whether it speaks the older kind of MCP over HTTP, which says itself at which path it goes on:
/// not behind a door.
fn is_sse(server: &Value) -> bool {
    server.get("type").is_some_and(|kind| kind == "sse")
}

fn refers(server: &Value) -> bool {
    let headers = HEADERS.iter().filter_map(|name| server.get(name)?.as_object());
    headers.flat_map(Map::values).any(|value| value == CREDENTIAL_REFERENCE)
}

/// Leads a definition through a door, without whatever it would sign in with by itself.
fn lead(server: &mut Map<String, Value>, Door { url, header }: Door) {
    server.insert("url".to_owned(), Value::String(url));
    server.remove(TOKEN_VARIABLE);
    for name in HEADERS {
        if let Some(Value::Object(headers)) = server.get_mut(name) {
            headers.retain(|name, value| {
                value != CREDENTIAL_REFERENCE && !name.eq_ignore_ascii_case(&header)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn door(url: &str) -> Option<Door> {
        let door = Door { url: "http://door/mcp/a".into(), header: "authorization".into() };
        (url == "https://a.test/mcp").then_some(door)
    }

    #[test]
    fn a_server_with_a_credential_is_led_through_its_door_and_one_without_is_left_out() {
        let headers = json!({ "Authorization": CREDENTIAL_REFERENCE, "X-Team": "x" });
        let file = json!({ "other": 1, "mcpServers": {
            "a": { "type": "http", "url": "https://a.test/mcp", "headers": headers },
            "b": { "type": "http", "url": "https://b.test/mcp", "headers": headers },
            "c": { "command": "npx" },
            "d": { "type": "sse", "url": "https://a.test/mcp" },
            "e": { "type": "sse", "url": "https://a.test/mcp", "headers": headers },
        } });
        let settled = settle(Kind::Claude, file.to_string().as_bytes(), door).expect("changed");
        let settled: Value = serde_json::from_slice(&settled).expect("JSON");
        let expected = json!({ "other": 1, "mcpServers": {
            "a": { "type": "http", "url": "http://door/mcp/a", "headers": { "X-Team": "x" } },
            "c": { "command": "npx" },
            "d": { "type": "sse", "url": "https://a.test/mcp" },
        } });
        assert_eq!(settled, expected);
    }

    #[test]
    fn the_same_is_done_in_the_words_of_codex() {
        let text = r#"
            model = "gpt"
            [mcp_servers.a]
            url = "https://a.test/mcp"
            bearer_token_env_var = "TOKEN"
            [mcp_servers.b]
            url = "https://b.test/mcp"
            http_headers = { X-Api-Key = "${HANDOFF_CREDENTIAL}" }
        "#;
        let settled = settle(Kind::Codex, text.as_bytes(), door).expect("changed");
        let settled: toml::Table = toml::from_str(std::str::from_utf8(&settled).unwrap()).unwrap();
        let expected = "model = \"gpt\"\n[mcp_servers.a]\nurl = \"http://door/mcp/a\"\n";
        assert_eq!(settled, toml::from_str::<toml::Table>(expected).unwrap());
    }

    #[test]
    fn what_needs_no_credential_keeps_its_bytes() {
        let file = br#"{ "mcpServers": { "c": { "url": "https://c.test" } } }"#;
        assert_eq!(settle(Kind::Claude, file, door), None);
        for (kind, text) in [(Kind::Claude, "{"), (Kind::Claude, "{}"), (Kind::Codex, "a = ")] {
            assert_eq!(settle(kind, text.as_bytes(), door), None, "{text}");
        }
    }
}
