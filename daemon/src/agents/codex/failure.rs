//! Why Codex could not go on, in words.

use serde_json::Value;

use crate::agents::cut::{LINE_CHARS_MAX, beginning};

/// Why a turn is none that one would want; empty for one that is.
pub(super) fn of_turn(turn: &Value) -> String {
    match turn["status"].as_str().unwrap_or_default() {
        "completed" => String::new(),
        "failed" => of_error(&turn["error"]),
        status => {
            let status = beginning(status, LINE_CHARS_MAX);
            format!("the agent ended its turn otherwise ({status})")
        }
    }
}

/// That it tries again, and why.
pub(super) fn retrying(error: &Value) -> String {
    let (said, why) = (word(&error["message"]), word(&error["additionalDetails"]));
    let text = if why.is_empty() { said } else { format!("{why} ({said})") };
    beginning(&text, LINE_CHARS_MAX)
}

fn of_error(error: &Value) -> String {
    let info = &error["codexErrorInfo"];
    let named = || info.as_object().and_then(|object| object.iter().next());
    let (kind, status) = match info {
        Value::String(kind) => (kind.as_str(), None),
        _ => named()
            .map_or(("", None), |(kind, about)| (kind.as_str(), about["httpStatusCode"].as_u64())),
    };
    let what = match (kind, status) {
        ("unauthorized", _) | (_, Some(401 | 403)) => {
            "the model API refuses the daemon's credential".to_owned()
        }
        ("modelNotFound", _) | (_, Some(404)) => "the model is not available".to_owned(),
        ("usageLimitExceeded", _) => {
            "the usage limit of the daemon's credential is reached".to_owned()
        }
        ("rateLimitExceeded", _) | (_, Some(429)) => {
            "the model API's rate limit is reached".to_owned()
        }
        ("serverOverloaded", _) => "the model API is overloaded".to_owned(),
        ("internalServerError", None) => "the model API answers 500".to_owned(),
        (_, Some(status)) => format!("the model API answers {status}"),
        ("contextWindowExceeded", _) => "the conversation is too long for the model".to_owned(),
        (
            "httpConnectionFailed"
            | "responseStreamConnectionFailed"
            | "responseStreamDisconnected",
            None,
        ) => "the model API cannot be reached".to_owned(),
        ("" | "other", None) => "the agent gave up".to_owned(),
        (kind, None) => format!("the agent gave up ({kind})"),
    };
    let said = word(&error["message"]);
    beginning(&if said.is_empty() { what } else { format!("{what}: {said}") }, LINE_CHARS_MAX)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}
