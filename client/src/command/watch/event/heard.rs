//! What an agent told, as a line and as fields. Pure.

use handoff_proto::wire::{self, ToolKind, heard::What};
use serde_json::{Value, json};

/// Milliseconds from which on it is worth telling how long a tool took.
const SLOW_MS: u64 = 1000;

pub(super) fn fields(what: &What) -> Value {
    match what {
        What::Ready(ready) => json!({
            "version": ready.version,
            "session_id": ready.session_id,
            "model": ready.model,
            "permissions": ready.permissions,
        }),
        What::Text(text) => json!({ "text": text }),
        What::ToolStarted(tool) => json!({
            "id": tool.id,
            "tool": tool.tool,
            "kind": kind(tool.kind()),
            "target": tool.target,
            "by_subagent": tool.by_subagent,
        }),
        What::ToolEnded(tool) => json!({
            "id": tool.id,
            "failed": tool.failed,
            "milliseconds": Some(tool.milliseconds).filter(|milliseconds| *milliseconds > 0),
            "detail": tool.detail,
        }),
        What::Plan(plan) => {
            let item = |item: &wire::PlanItem| json!({ "text": item.text, "state": item.state });
            json!({ "items": plan.items.iter().map(item).collect::<Vec<_>>() })
        }
        What::Usage(usage) => json!({
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": dollars(usage),
        }),
        What::Retrying(why) => json!({ "why": why }),
        What::TurnEnded(turn) => json!({
            "failure": Some(&turn.failure).filter(|failure| !failure.is_empty()),
            "text": turn.text,
        }),
    }
}

pub(super) fn line(what: &What) -> String {
    match what {
        What::Ready(wire::AgentReady { version, model, permissions, .. }) => {
            let mode = if permissions.is_empty() { "" } else { &format!(" ({permissions})") };
            format!("agent {version} with {model}{mode}")
        }
        What::Text(text) => format!("says: {text}"),
        What::ToolStarted(tool) => {
            let who = if tool.by_subagent { "sub-agent uses" } else { "uses" };
            format!("{who} {}: {}", tool.tool, tool.target)
        }
        What::ToolEnded(tool) => {
            let took = match tool.milliseconds {
                0..SLOW_MS => String::new(),
                milliseconds => format!(" after {:.1} s", seconds(milliseconds)),
            };
            match (tool.failed, tool.detail.as_str()) {
                (false, _) => format!("done{took}"),
                (true, "") => format!("failed{took}"),
                (true, detail) => format!("failed{took}: {detail}"),
            }
        }
        What::Plan(plan) => {
            let done = plan.items.iter().filter(|item| item.state == "completed").count();
            let current = plan.items.iter().find(|item| item.state == "in_progress");
            let current = current.map(|item| format!(", now: {}", item.text)).unwrap_or_default();
            format!("plan: {done} of {} done{current}", plan.items.len())
        }
        What::Usage(usage) => {
            let cost = dollars(usage).map(|cost| format!(", ${cost:.4} so far"));
            format!(
                "used {} tokens in, {} out{}",
                usage.input_tokens,
                usage.output_tokens,
                cost.unwrap_or_default()
            )
        }
        What::Retrying(why) => format!("its model does not answer: {why}"),
        What::TurnEnded(turn) if turn.failure.is_empty() => "ends its turn".to_owned(),
        What::TurnEnded(turn) => format!("gives up: {}", turn.failure),
    }
}

fn kind(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::Run => "run",
        ToolKind::Read => "read",
        ToolKind::Edit => "edit",
        ToolKind::Search => "search",
        ToolKind::Fetch => "fetch",
        ToolKind::Subagent => "subagent",
        ToolKind::Plan => "plan",
        ToolKind::Ask => "ask",
        ToolKind::Other | ToolKind::Unspecified => "other",
    }
}

/// Dollars; none where the agent does not tell.
fn dollars(usage: &wire::AgentUsage) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "nobody spends so much")]
    Some(usage.cost_microdollars).filter(|cost| *cost > 0).map(|cost| cost as f64 / 1e6)
}

fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}
