//! Anthropic's Messages: one message, whole or as the events of a stream.

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

fn blocks(turn: &Turn) -> Vec<Value> {
    let texts = turn.texts.iter().map(|text| json!({ "type": "text", "text": text }));
    let tools = turn.tools.iter().map(|(name, input)| {
        json!({ "type": "tool_use", "id": id("toolu"), "name": name, "input": input })
    });
    texts.chain(tools).collect()
}

fn stop_reason(turn: &Turn) -> &'static str {
    if turn.tools.is_empty() { "end_turn" } else { "tool_use" }
}

fn usage(output_tokens: u64) -> Value {
    json!({
        "input_tokens": INPUT_TOKENS,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    })
}

fn head(request: &Value) -> Value {
    json!({
        "id": id("msg"),
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage(1),
    })
}

/// The message as one object.
pub(super) fn message(request: &Value, turn: &Turn) -> Value {
    let mut message = head(request);
    message["content"] = blocks(turn).into();
    message["stop_reason"] = stop_reason(turn).into();
    message["usage"] = usage(OUTPUT_TOKENS);
    message
}

/// The message as the events of a stream.
pub(super) fn events(request: &Value, turn: &Turn) -> Vec<Value> {
    let mut events = vec![json!({ "type": "message_start", "message": head(request) })];
    for (index, block) in blocks(turn).into_iter().enumerate() {
        let (empty, delta) = match block["type"].as_str() {
            Some("text") => (
                json!({ "type": "text", "text": "" }),
                json!({ "type": "text_delta", "text": block["text"] }),
            ),
            _ => {
                let mut empty = block.clone();
                empty["input"] = json!({});
                let input = block["input"].to_string();
                (empty, json!({ "type": "input_json_delta", "partial_json": input }))
            }
        };
        events.extend([
            json!({ "type": "content_block_start", "index": index, "content_block": empty }),
            json!({ "type": "content_block_delta", "index": index, "delta": delta }),
            json!({ "type": "content_block_stop", "index": index }),
        ]);
    }
    let delta = json!({ "stop_reason": stop_reason(turn), "stop_sequence": null });
    let usage = json!({ "output_tokens": OUTPUT_TOKENS });
    events.push(json!({ "type": "message_delta", "delta": delta, "usage": usage }));
    events.push(json!({ "type": "message_stop" }));
    events
}
