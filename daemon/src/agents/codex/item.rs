//! Items of a thread: what Codex says, and the tools that it uses. Whatever else there is, now or in
//! later versions, is skipped by its type or by field.

use handoff_proto::wire::{self, ToolKind};
use serde::Deserialize;
use serde_json::Value;

use crate::agents::cut::{LINE_CHARS_MAX, TEXT_CHARS_MAX, beginning};

/// An item.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Item {
    UserMessage {
        client_id: Option<String>,
    },
    AgentMessage {
        #[serde(default)]
        text: String,
    },
    Plan {
        #[serde(default)]
        text: String,
    },
    CommandExecution {
        #[serde(default)]
        command: String,
        #[serde(default)]
        command_actions: Vec<Action>,
        aggregated_output: Option<String>,
        exit_code: Option<i64>,
    },
    FileChange {
        #[serde(default)]
        changes: Vec<Change>,
    },
    McpToolCall {
        #[serde(default)]
        server: String,
        #[serde(default)]
        tool: String,
        #[serde(default)]
        arguments: Value,
        #[serde(default)]
        error: Value,
    },
    CollabAgentToolCall {
        #[serde(default)]
        tool: String,
        prompt: Option<String>,
    },
    SubAgentActivity {
        #[serde(default)]
        kind: String,
        #[serde(default)]
        agent_path: String,
    },
    WebSearch {
        #[serde(default)]
        query: String,
    },
    ImageView {
        #[serde(default)]
        path: String,
    },
    #[serde(other)]
    Other,
}

/// What Codex takes a command for.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum Action {
    Read,
    ListFiles,
    Search,
    #[serde(other)]
    Other,
}

/// A change of a file.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    path: String,
    #[serde(default)]
    kind: Value,
    #[serde(default)]
    diff: String,
}

/// A tool in use: what it is for, what it is called, what it is used on.
struct Use {
    kind: ToolKind,
    tool: String,
    target: String,
}

impl Item {
    /// The item of a notification; one that is not understood is none of ours.
    pub(super) fn read(item: &Value) -> Self {
        Self::deserialize(item).unwrap_or(Self::Other)
    }

    /// That a tool is used, if it is one.
    pub(super) fn started(&self, id: &str, by_subagent: bool) -> Option<wire::ToolStarted> {
        let Use { kind, tool, target } = self.tool()?;
        Some(wire::ToolStarted {
            id: id.to_owned(),
            tool: beginning(&tool, LINE_CHARS_MAX),
            kind: kind.into(),
            target: beginning(&one_line(&target), LINE_CHARS_MAX),
            by_subagent,
        })
    }

    /// That a tool was used, if it is one; `about` is the notification.
    pub(super) fn ended(&self, id: &str, about: &Value) -> Option<wire::ToolEnded> {
        self.tool()?;
        let status = about["item"]["status"].as_str().unwrap_or_default();
        let failed = matches!(status, "failed" | "declined");
        let detail = if failed { self.failure(status) } else { String::new() };
        Some(wire::ToolEnded {
            id: id.to_owned(),
            failed,
            milliseconds: milliseconds(about),
            detail: beginning(&detail, LINE_CHARS_MAX),
        })
    }

    fn tool(&self) -> Option<Use> {
        let of = |kind, tool: &str, target: &str| {
            Some(Use { kind, tool: tool.to_owned(), target: target.to_owned() })
        };
        match self {
            Self::CommandExecution { command, command_actions, .. } => {
                let kind = match command_actions[..] {
                    [Action::Read] => ToolKind::Read,
                    [Action::Search | Action::ListFiles] => ToolKind::Search,
                    _ => ToolKind::Run,
                };
                of(kind, "exec_command", &as_typed(command))
            }
            Self::FileChange { changes } => {
                let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
                of(ToolKind::Edit, "apply_patch", &paths.join(" "))
            }
            Self::McpToolCall { server, tool, arguments, .. } => {
                let first =
                    arguments.as_object().and_then(|all| all.values().find_map(Value::as_str));
                of(ToolKind::Other, &format!("{server}.{tool}"), first.unwrap_or_default())
            }
            Self::CollabAgentToolCall { tool, prompt } => {
                of(ToolKind::Subagent, tool, prompt.as_deref().unwrap_or_default())
            }
            Self::SubAgentActivity { kind, agent_path } => {
                of(ToolKind::Subagent, &format!("agent {kind}"), agent_path)
            }
            Self::WebSearch { query } => of(ToolKind::Fetch, "web_search", query),
            Self::ImageView { path } => of(ToolKind::Read, "view_image", path),
            Self::UserMessage { .. }
            | Self::AgentMessage { .. }
            | Self::Plan { .. }
            | Self::Other => None,
        }
    }

    fn failure(&self, status: &str) -> String {
        match self {
            _ if status == "declined" => "declined".to_owned(),
            Self::CommandExecution { aggregated_output, exit_code, .. } => {
                let output = aggregated_output.as_deref().unwrap_or_default();
                let code = exit_code.map(|code| format!("exit code {code}"));
                let told = [code.as_deref().unwrap_or_default(), output.trim()];
                told.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
            }
            Self::McpToolCall { error, .. } => {
                error["message"].as_str().unwrap_or_default().to_owned()
            }
            _ => String::new(),
        }
    }
}

/// What a patch would change, for who is to allow it.
pub(super) fn patch(changes: &[Change]) -> String {
    let mut text = String::from("apply_patch:");
    for Change { path, kind, diff } in changes {
        let kind = kind["type"].as_str().unwrap_or("change");
        text.push_str(&format!("\n{kind} {path}\n{}", diff.trim_end()));
        if text.len() > 4 * TEXT_CHARS_MAX {
            break;
        }
    }
    beginning(&text, TEXT_CHARS_MAX)
}

/// A command without the shell around it, where nothing but quotes is between the two.
pub(super) fn as_typed(command: &str) -> String {
    let is_shell = |word: &str| matches!(word.rsplit('/').next(), Some("sh" | "bash" | "zsh"));
    let inner = command.split_once(" -lc ").filter(|(shell, _)| is_shell(shell));
    let Some((_, quoted)) = inner else { return command.to_owned() };
    let within = |quote: char, special: &[char]| {
        let inside = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inside.contains(special)).then_some(inside)
    };
    let plain = !quoted.contains([' ', '\'', '"', '\\']);
    within('\'', &['\''])
        .or_else(|| within('"', &['"', '\\', '$', '`']))
        .or_else(|| plain.then_some(quoted))
        .map_or_else(|| command.to_owned(), str::to_owned)
}

/// How long it took: what the tool says, or from its beginning to its end.
fn milliseconds(about: &Value) -> u64 {
    let item = &about["item"];
    let from_to = || about["completedAtMs"].as_u64()?.checked_sub(item["startedAtMs"].as_u64()?);
    item["durationMs"].as_u64().or_else(from_to).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_was_typed_only_where_that_is_certain() {
        for (command, shown) in [
            ("/bin/bash -lc 'touch a b'", "touch a b"),
            (r#"/bin/bash -lc "it's""#, "it's"),
            ("/bin/sh -lc ls", "ls"),
            (r#"/bin/bash -lc "echo $HOME""#, r#"/bin/bash -lc "echo $HOME""#),
            ("/bin/bash -lc 'a'\\''b'", "/bin/bash -lc 'a'\\''b'"),
            ("make -lc 'x'", "make -lc 'x'"),
            ("rm -rf -lc 'x'", "rm -rf -lc 'x'"),
            ("", ""),
        ] {
            assert_eq!(as_typed(command), shown);
        }
    }
}
