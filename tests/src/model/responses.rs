//! OpenAI's Responses: one response, whole or as the events of a stream.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::Turn;

/// What every answer is said to have cost.
const INPUT_TOKENS: u64 = 100;
const OUTPUT_TOKENS: u64 = 10;

/// Numbers whatever needs an id.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn id(prefix: &str) -> String {
    format!("{prefix}_{:020}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How Codex's interface asks for the title of a thread; it offers tools for that, too.
const TITLE: &str = "Generate a concise, single-line task title";

/// Whether a request is a turn of the agent.
pub(super) fn is_turn(request: &Value) -> bool {
    let said = request["input"].as_array().and_then(|input| input.last());
    let text = said.and_then(|said| said["content"][0]["text"].as_str());
    offers_tools(request) && !text.is_some_and(|text| text.starts_with(TITLE))
}

/// Whether a request offers tools: in their field, or among the input as newer models get them.
fn offers_tools(request: &Value) -> bool {
    let is_some = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    let input = request["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    is_some(&request["tools"]) || input.iter().any(|item| item["type"] == "additional_tools")
}

/// What the model says and does. Input that is a text is one for a tool of free form; a tool of a
/// namespace is called `NAMESPACE.TOOL`.
fn items(turn: &Turn) -> Vec<Value> {
    let texts = turn.texts.iter().map(|text| {
        let part = json!({ "type": "output_text", "text": text, "annotations": [] });
        json!({
            "type": "message", "role": "assistant", "id": id("msg"), "status": "completed",
            "content": [part],
        })
    });
    let tools = turn.tools.iter().map(|(name, input)| {
        let (namespace, name) = name.split_once('.').unwrap_or(("", name));
        let mut call = match input {
            Value::String(input) => {
                json!({ "type": "custom_tool_call", "id": id("ctc"), "input": input })
            }
            _ => json!({
                "type": "function_call", "id": id("fc"), "arguments": input.to_string(),
            }),
        };
        call["call_id"] = id("call").into();
        call["name"] = name.into();
        call["status"] = "completed".into();
        if !namespace.is_empty() {
            call["namespace"] = namespace.into();
        }
        call
    });
    texts.chain(tools).collect()
}

fn head(request: &Value) -> Value {
    json!({
        "id": id("resp"),
        "object": "response",
        "created_at": 0,
        "status": "in_progress",
        "model": request["model"],
        "output": [],
    })
}

fn complete(mut head: Value, items: &[Value]) -> Value {
    head["status"] = "completed".into();
    head["output"] = items.into();
    head["usage"] = json!({
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    });
    head
}

/// An error of the script's in this API's words.
pub(super) fn error(error: &Value) -> Value {
    let (code, message) = (&error["error"]["type"], &error["error"]["message"]);
    let kind = "invalid_request_error";
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

/// The response as one object.
pub(super) fn response(request: &Value, turn: &Turn) -> Value {
    complete(head(request), &items(turn))
}

/// The response as the events of a stream.
pub(super) fn events(request: &Value, turn: &Turn) -> Vec<Value> {
    let (head, items) = (head(request), items(turn));
    let mut events = vec![json!({ "type": "response.created", "response": head })];
    for (index, item) in items.iter().enumerate() {
        let mut begun = item.clone();
        begun["status"] = "in_progress".into();
        events.push(json!({
            "type": "response.output_item.added", "output_index": index, "item": begun,
        }));
        if let Some(text) = item["content"][0]["text"].as_str() {
            events.push(json!({
                "type": "response.output_text.delta", "item_id": item["id"],
                "output_index": index, "content_index": 0, "delta": text,
            }));
        }
        events.push(json!({
            "type": "response.output_item.done", "output_index": index, "item": item,
        }));
    }
    events.push(json!({ "type": "response.completed", "response": complete(head, &items) }));
    events
}
