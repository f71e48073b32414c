//! The lines that Codex writes: answers to what it was asked, requests of its own, and news.

use handoff_proto::wire;
use serde_json::Value;

use crate::agents::cut::{LINE_CHARS_MAX, beginning};

/// A line.
#[derive(Debug)]
pub(super) enum Line {
    /// The answer to the request of that id; an error by its message.
    Answer { id: String, answer: Result<Value, String> },
    /// It wants something of whoever drives it.
    Request { id: Value, method: String, params: Value },
    /// Something has happened.
    News { method: String, params: Value },
}

impl Line {
    /// What a line says; nothing for one that is none of these.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut value: Value = serde_json::from_slice(line).ok()?;
        let (id, params) = (value["id"].take(), value["params"].take());
        let method = value["method"].as_str().map(str::to_owned);
        match (method, &id) {
            (Some(method), Value::Null) => Some(Self::News { method, params }),
            (Some(method), Value::String(_) | Value::Number(_))
                if id.to_string().len() <= LINE_CHARS_MAX =>
            {
                Some(Self::Request { id, method, params })
            }
            (None, Value::String(id)) => {
                let error = value["error"].take();
                let answer = if error.is_null() {
                    Ok(value["result"].take())
                } else {
                    Err(text(&error["message"], "an error without a message"))
                };
                Some(Self::Answer { id: id.clone(), answer })
            }
            (_, _) => None,
        }
    }
}

/// A thread, as the answer that opens it tells.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) id: String,
    model: String,
    approvals: String,
}

impl Thread {
    pub(super) fn read(answer: &Value) -> Option<Self> {
        let id = answer["thread"]["id"].as_str().filter(|id| !id.is_empty())?.to_owned();
        // A policy of single switches is an object.
        let approvals = match &answer["approvalPolicy"] {
            Value::String(policy) => policy.clone(),
            _ => String::new(),
        };
        Some(Self { id, model: text(&answer["model"], ""), approvals })
    }

    pub(super) fn ready(&self, version: &str) -> wire::AgentReady {
        let cut = |text: &str| beginning(text, LINE_CHARS_MAX);
        wire::AgentReady {
            version: cut(version),
            session_id: cut(&self.id),
            model: cut(&self.model),
            permissions: cut(&self.approvals),
        }
    }
}

/// The version behind the name that it was given: `handoff/0.169.0 (Debian …)`.
pub(super) fn version(answer: &Value) -> String {
    let agent = answer["userAgent"].as_str().unwrap_or_default();
    let behind = agent.split_once('/').map_or("", |(_, behind)| behind);
    behind.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Whether a page of turns holds this message of the user's.
pub(super) fn holds(page: &Value, message: &str) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let items = list(&page["data"]).into_iter().flat_map(|turn| list(&turn["items"]));
    let mut parts =
        items.filter(|item| item["type"] == "userMessage").flat_map(|item| list(&item["content"]));
    parts.any(|part| part["text"] == message)
}

/// A list of things to do.
pub(super) fn plan(params: &Value, items_max: usize) -> wire::AgentPlan {
    let steps = params["plan"].as_array().map(Vec::as_slice).unwrap_or_default();
    let item = |step: &Value| wire::PlanItem {
        text: beginning(&text(&step["step"], ""), LINE_CHARS_MAX),
        state: match step["status"].as_str().unwrap_or_default() {
            "inProgress" => "in_progress".to_owned(),
            other => beginning(other, LINE_CHARS_MAX),
        },
    };
    wire::AgentPlan { items: steps.iter().take(items_max).map(item).collect() }
}

/// What the thread used so far. It tells no cost.
pub(super) fn usage(params: &Value) -> wire::AgentUsage {
    let total = &params["tokenUsage"]["total"];
    let count = |field: &str| total[field].as_u64().unwrap_or_default();
    wire::AgentUsage {
        input_tokens: count("inputTokens"),
        output_tokens: count("outputTokens"),
        cost_microdollars: 0,
    }
}

fn text(value: &Value, otherwise: &str) -> String {
    value.as_str().unwrap_or(otherwise).to_owned()
}
