//! The lines that Claude Code writes, as far as they are of use here. Whatever else there is, now or
//! in later versions, is skipped by name or by field.

use handoff_proto::wire::{self, heard::What};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::agents::Act;
use crate::agents::cut::{LINE_CHARS_MAX, TEXT_CHARS_MAX, beginning};

/// A line.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Record {
    /// About the process.
    System(System),
    /// The model said something, or uses a tool.
    Assistant {
        message: Message,
        /// The use of a tool that started the sub-agent which says so.
        parent_tool_use_id: Option<String>,
        /// Set where it is not the model that speaks.
        error: Option<Value>,
        timestamp: Option<Timestamp>,
    },
    /// A tool's result, or a message of the user's that is taken up.
    User {
        message: Message,
        #[serde(default)]
        uuid: String,
        #[serde(default, rename = "isReplay")]
        is_replay: bool,
        timestamp: Option<Timestamp>,
    },
    /// It wants something of whoever drives it.
    ControlRequest { request_id: String, request: Request },
    /// It does not want it any more.
    ControlCancelRequest { request_id: String },
    /// A turn has ended.
    Result(Box<Turn>),
    #[serde(other)]
    Other,
}

/// About the process.
#[derive(Debug, Deserialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub(super) enum System {
    Init {
        session_id: String,
        #[serde(default)]
        model: String,
        #[serde(default, rename = "permissionMode")]
        permission_mode: String,
        #[serde(default)]
        claude_code_version: String,
    },
    ApiRetry {
        attempt: u64,
        #[serde(default)]
        max_retries: u64,
        #[serde(default)]
        retry_delay_ms: f64,
        error_status: Option<u64>,
        #[serde(default)]
        error: Value,
    },
    SessionStateChanged {
        state: Activity,
    },
    Status {
        /// Set where that has changed.
        #[serde(default, rename = "permissionMode")]
        permission_mode: Option<String>,
    },
    #[serde(other)]
    Other,
}

/// Whether it is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activity {
    Idle,
    #[serde(other)]
    Other,
}

/// A message of the API's.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) content: Contents,
}

/// What a message, or a tool's result, holds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Contents {
    Text(String),
    Parts(Vec<Content>),
    Other(IgnoredAny),
}

/// A part of it.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content {
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(default)]
        is_error: bool,
        #[serde(default)]
        content: Contents,
    },
    #[serde(other)]
    Other,
}

/// What it wants of whoever drives it.
#[derive(Debug, Deserialize)]
#[serde(from = "Value")]
pub(super) enum Request {
    /// May it use this tool so?
    CanUseTool(Box<Wish>),
    /// Something that is not known here, by its name.
    Other(String),
}

/// A tool that it wants to use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Wish {
    pub(super) tool_name: String,
    #[serde(default)]
    pub(super) input: Value,
    /// Why it is not allowed by itself.
    #[serde(default)]
    pub(super) decision_reason: Option<String>,
}

/// How a turn ended.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Turn {
    subtype: String,
    is_error: bool,
    result: String,
    errors: Vec<Value>,
    total_cost_usd: f64,
    usage: Usage,
    terminal_reason: String,
    api_error_status: Option<u64>,
}

/// Tokens of a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl From<Value> for Request {
    fn from(request: Value) -> Self {
        let subtype = request["subtype"].as_str().unwrap_or_default().to_owned();
        let wish = || serde_json::from_value(request).ok();
        match (subtype == "can_use_tool").then(wish).flatten() {
            Some(wish) => Self::CanUseTool(Box::new(wish)),
            None => Self::Other(subtype),
        }
    }
}

impl Default for Contents {
    fn default() -> Self {
        Self::Parts(Vec::new())
    }
}

impl Contents {
    pub(super) fn into_parts(self) -> Vec<Content> {
        match self {
            Self::Text(text) => vec![Content::Text { text }],
            Self::Parts(parts) => parts,
            Self::Other(_) => Vec::new(),
        }
    }

    /// Its text, without what is none.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                let texts = parts.iter().filter_map(|part| match part {
                    Content::Text { text } => Some(text.as_str()),
                    Content::ToolUse { .. } | Content::ToolResult { .. } | Content::Other => None,
                });
                texts.collect::<Vec<_>>().join("\n")
            }
            Self::Other(_) => String::new(),
        }
    }
}

impl System {
    /// How the agent works from here on, where this says anything about it; `ready` is how it worked
    /// until now.
    pub(super) fn ready(&self, ready: Option<&wire::AgentReady>) -> Option<wire::AgentReady> {
        let cut = |text: &str| beginning(text, LINE_CHARS_MAX);
        match self {
            Self::Init { session_id, model, permission_mode, claude_code_version } => {
                Some(wire::AgentReady {
                    version: cut(claude_code_version),
                    session_id: cut(session_id),
                    model: cut(model),
                    permissions: cut(permission_mode),
                })
            }
            Self::Status { permission_mode: Some(mode) } => {
                let changed = ready.filter(|ready| ready.permissions != cut(mode));
                changed.map(|ready| wire::AgentReady { permissions: cut(mode), ..ready.clone() })
            }
            Self::ApiRetry { .. }
            | Self::SessionStateChanged { .. }
            | Self::Status { permission_mode: None }
            | Self::Other => None,
        }
    }

    pub(super) fn told(self) -> Vec<Act> {
        match self {
            Self::ApiRetry { attempt, max_retries, retry_delay_ms, error_status, error } => {
                let status = error_status.map(|status| format!(" {status}")).unwrap_or_default();
                let error = error.as_str().unwrap_or("no answer").replace('_', " ");
                let seconds = retry_delay_ms / 1000.0;
                vec![Act::Tell(What::Retrying(beginning(
                    &format!("{error}{status}, try {attempt} of {max_retries} in {seconds:.0} s"),
                    LINE_CHARS_MAX,
                )))]
            }
            Self::Init { .. }
            | Self::SessionStateChanged { .. }
            | Self::Status { .. }
            | Self::Other => Vec::new(),
        }
    }
}

impl Turn {
    pub(super) fn told(&self) -> Vec<Act> {
        let Usage { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, .. } =
            self.usage;
        let usage = wire::AgentUsage {
            input_tokens: input_tokens
                .saturating_add(cache_creation_input_tokens)
                .saturating_add(cache_read_input_tokens),
            output_tokens: self.usage.output_tokens,
            cost_microdollars: microdollars(self.total_cost_usd),
        };
        let ended = wire::TurnEnded {
            failure: beginning(&self.failure().unwrap_or_default(), LINE_CHARS_MAX),
            text: beginning(&self.result, TEXT_CHARS_MAX),
        };
        vec![Act::Tell(What::Usage(usage)), Act::Tell(What::TurnEnded(ended))]
    }

    /// Why the turn is none that one would want. `subtype` alone may say `success` all the same.
    fn failure(&self) -> Option<String> {
        if !self.is_error {
            return None;
        }
        let error = self.errors.iter().find_map(Value::as_str).unwrap_or_default();
        let said = if self.result.is_empty() { error } else { &self.result };
        let what = match (self.api_error_status, self.terminal_reason.as_str()) {
            (Some(401 | 403), _) => "the model API refuses the daemon's credential".to_owned(),
            (Some(404), _) => "the model is not available".to_owned(),
            (Some(429), _) => "the model API's rate limit is reached".to_owned(),
            (Some(529), _) => "the model API is overloaded".to_owned(),
            (Some(status), _) => format!("the model API answers {status}"),
            (None, "api_error") => "the model API cannot be used".to_owned(),
            (None, "") => format!("the agent gave up ({})", self.subtype),
            (None, reason) => format!("the agent gave up ({})", reason.replace('_', " ")),
        };
        Some(if said.is_empty() { what } else { format!("{what}: {said}") })
    }
}

/// Dollars in millionths; what is none is 0.
fn microdollars(dollars: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let micro = (dollars * 1e6).round() as u64;
    micro
}
