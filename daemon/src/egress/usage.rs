//! Counts what a call used, by what the API itself says at its end. Looks on; never holds a byte
//! back.

use serde_json::Value;

use super::gateway::Fence;
use super::notice::Usage;

/// Longest answer, or event of a streamed one, that is looked into. What is longer is passed on and
/// counted as a call without tokens.
const TEXT_MAX: usize = 1 << 20;

/// Watches one answer; tells what it used when it is dropped.
#[derive(Debug)]
pub(super) struct Meter {
    used: Usage,
    streamed: bool,
    /// The answer so far, or the line of it that is not ended.
    text: Vec<u8>,
    overflowed: bool,
    fence: Fence,
}

impl Meter {
    /// Watches a call of this provider, from before it is made: one that is broken off was made.
    pub(super) fn new(provider: String, fence: Fence) -> Self {
        let used = Usage { provider, requests: 1, ..Usage::default() };
        Self { used, streamed: false, text: Vec::new(), overflowed: false, fence }
    }

    /// Says that the answer is a stream of events, not one JSON text.
    pub(super) fn expect_events(&mut self) {
        self.streamed = true;
    }

    /// Says that there was no call after all.
    pub(super) fn not_made(&mut self) {
        self.used.requests = 0;
    }

    /// Looks at more of the answer.
    pub(super) fn feed(&mut self, data: &[u8]) {
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            if self.text.len() + part.len() > TEXT_MAX {
                self.overflowed = true;
                self.text.clear();
            }
            if !self.overflowed {
                self.text.extend_from_slice(part);
            }
            if self.streamed && part.ends_with(b"\n") {
                self.look();
                self.overflowed = false;
            }
        }
    }

    /// Looks at the text that is there, and forgets it.
    fn look(&mut self) {
        let text = std::mem::take(&mut self.text);
        let json = match self.streamed {
            true => text.strip_prefix(b"data:").unwrap_or_default(),
            false => &text[..],
        };
        if let Ok(value) = serde_json::from_slice::<Value>(json) {
            // Each report of a stream is about the whole call so far.
            let (input, output) = reported(&value);
            self.used.input_tokens = self.used.input_tokens.max(input);
            self.used.output_tokens = self.used.output_tokens.max(output);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.overflowed {
            self.look();
        }
        if self.used.requests > 0 {
            self.fence.used(std::mem::take(&mut self.used));
        }
    }
}

/// The tokens read and written that an answer tells of, in the words of each API.
fn reported(answer: &Value) -> (u64, u64) {
    if let Value::Array(parts) = answer {
        let reports = parts.iter().map(reported);
        return reports.fold((0, 0), |sum, part| (sum.0.max(part.0), sum.1.max(part.1)));
    }
    let usage = ["/usage", "/message/usage", "/response/usage", "/usageMetadata"]
        .iter()
        .find_map(|place| answer.pointer(place));
    let Some(usage) = usage else { return (0, 0) };
    let sum = |names: &[&str]| -> u64 {
        names.iter().filter_map(|name| usage.get(name)?.as_u64()).fold(0, u64::saturating_add)
    };
    let input = sum(&[
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "prompt_tokens",
        "promptTokenCount",
    ]);
    let output =
        sum(&["output_tokens", "completion_tokens", "candidatesTokenCount", "thoughtsTokenCount"]);
    (input, output)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::egress::notice::Notice;
    use crate::egress::policy::Policy;

    fn used(streamed: bool, parts: &[&[u8]]) -> Usage {
        let (fence, mut notices) = Fence::of(Policy::default());
        let mut meter = Meter::new("x".into(), fence);
        if streamed {
            meter.expect_events();
        }
        parts.iter().for_each(|part| meter.feed(part));
        drop(meter);
        match notices.try_recv().expect("a notice") {
            Notice::Usage(usage) => usage,
            other @ (Notice::Denied(_) | Notice::Stale(_)) => panic!("{other:?}"),
        }
    }

    fn tokens(usage: &Usage) -> (u64, u64, u64) {
        (usage.requests, usage.input_tokens, usage.output_tokens)
    }

    #[test]
    fn answers_in_every_apis_words_are_counted() {
        for (text, expected) in [
            (
                r#"{"usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":5}}"#,
                (1, 7, 5),
            ),
            (r#"{"usage":{"prompt_tokens":3,"completion_tokens":5}}"#, (1, 3, 5)),
            (r#"{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":5}}"#, (1, 3, 5)),
            (
                r#"[{"usageMetadata":{"promptTokenCount":3}},{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":5}}]"#,
                (1, 3, 5),
            ),
            ("not json", (1, 0, 0)),
            ("", (1, 0, 0)),
        ] {
            assert_eq!(tokens(&used(false, &[text.as_bytes()])), expected, "{text}");
        }
    }

    #[test]
    fn a_stream_is_counted_by_its_last_reports_however_it_is_cut() {
        let text = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\ndata: {\"usage\":{\"output_tokens\":4}}\n\ndata: {\"usage\":{\"output_tokens\":6}}\n\ndata: [DONE]\n";
        for at in [0, 1, 30, 80, text.len() - 1] {
            let (front, back) = text.split_at(at);
            assert_eq!(tokens(&used(true, &[front, back])), (1, 9, 6), "{at}");
        }
        let codex = b"data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":2,\"output_tokens\":3}}}\n\n";
        assert_eq!(tokens(&used(true, &[codex])), (1, 2, 3));
    }

    #[test]
    fn what_is_too_long_to_look_into_is_a_call_without_tokens() {
        let long = vec![b' '; TEXT_MAX];
        let rest = br#"x{"usage":{"output_tokens":4}}"#;
        assert_eq!(tokens(&used(false, &[&long, rest])), (1, 0, 0));
        let event = b"\ndata: {\"usage\":{\"output_tokens\":4}}\n";
        assert_eq!(tokens(&used(true, &[b"data:", &long, event])), (1, 0, 4));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_call(bytes: Vec<u8>, streamed: bool) {
            prop_assert_eq!(used(streamed, &[&bytes]).requests, 1);
        }
    }
}
