//! Words for humans about runs: commands, spans of time, what to do next.
//!
//! What a remote sent is made harmless here for one line of text. Knows neither colours nor
//! markup.

use std::time::Duration;

use handoff_proto::path::is_harmful;
use handoff_proto::wire;

use crate::json::rfc3339;

/// One line of harmless text, cut to so many characters.
#[must_use]
pub fn one_line(text: &str, chars_max: usize) -> String {
    let plain = |c: char| if is_harmful(c) { ' ' } else { c };
    let plain: String = text.chars().map(plain).collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, chars_max)
}

/// Cuts text to so many characters; an ellipsis tells that something is missing.
#[must_use]
pub fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

/// What a run was not let reach, and the flag that would let it.
#[must_use]
pub fn denied(denied: &wire::Denied) -> String {
    let wire::Denied { host, port, reason, fix } = denied;
    let port = if *port == 0 { String::new() } else { format!(":{port}") };
    let fix = if fix.is_empty() { String::new() } else { format!(" ({fix} allows it)") };
    format!("{host}{port}: {reason}{fix}")
}

/// What a run used of an API.
#[must_use]
pub fn used(used: &wire::Used) -> String {
    let wire::Used { provider, requests, input_tokens, output_tokens } = used;
    let calls = if *requests == 1 { "call" } else { "calls" };
    format!("{provider}: {requests} {calls}, {input_tokens} tokens read, {output_tokens} written")
}

/// A command as one would type it, on one line of harmless text.
#[must_use]
pub fn command_line(words: &[Vec<u8>]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    let harmless = |c: char| c.is_alphanumeric() || "%+,-./:=@_^".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        return text.into_owned();
    }
    let special = |c: char| is_harmful(c) || c == '\u{fffd}';
    if text.contains(special) {
        // The one form of quotes in which a shell reads escapes.
        let escaped: String = word
            .iter()
            .flat_map(|byte| std::ascii::escape_default(*byte))
            .map(char::from)
            .collect();
        return format!("$'{escaped}'");
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A span of time in its two largest units, such as `3m 20s`.
#[must_use]
pub fn span(span: Duration) -> String {
    let units = units(span);
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    let shown = units[first..].iter().take(2).filter(|(count, _)| *count > 0);
    let text = shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A span of time in its largest unit, such as `3m`.
#[must_use]
pub fn age(span: Duration) -> String {
    let units = units(span);
    let (count, unit) = units.into_iter().find(|(count, _)| *count > 0).unwrap_or((0, "s"));
    format!("{count}{unit}")
}

fn units(span: Duration) -> [(u64, &'static str); 4] {
    let seconds = span.as_secs();
    [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ]
}

/// The time between two moments in nanoseconds since the Unix epoch; none if they are reversed.
#[must_use]
pub fn between(from_unix_nanos: i64, to_unix_nanos: i64) -> Duration {
    let nanos = to_unix_nanos.saturating_sub(from_unix_nanos);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

/// A moment for humans, to the second.
#[must_use]
pub fn moment(unix_nanos: i64) -> String {
    rfc3339(unix_nanos - unix_nanos.rem_euclid(1_000_000_000))
}

/// What became of a run, or where it stands.
#[must_use]
pub fn standing(run: &wire::RunView) -> &str {
    if run.outcome.is_empty() { &run.state } else { &run.outcome }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(words: &[&str]) -> String {
        command_line(&words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        assert_eq!(line(&["make", "-j8", "test"]), "make -j8 test");
        assert_eq!(line(&["sh", "-c", "a && b"]), "sh -c 'a && b'");
        assert_eq!(line(&["echo", "it's", ""]), r"echo 'it'\''s' ''");
        assert_eq!(line(&["printf", "a\n\x1b[2J"]), r"printf $'a\n\x1b[2J'");
        assert_eq!(line(&["grün"]), "grün");
    }

    #[test]
    fn a_span_has_two_units_and_an_age_one() {
        let both =
            |seconds| (span(Duration::from_secs(seconds)), age(Duration::from_secs(seconds)));
        for (seconds, long, short) in [
            (0, "0s", "0s"),
            (59, "59s", "59s"),
            (60, "1m", "1m"),
            (200, "3m 20s", "3m"),
            (7500, "2h 5m", "2h"),
            (3600 + 5, "1h", "1h"),
            (90_000, "1d 1h", "1d"),
        ] {
            assert_eq!(both(seconds), (long.to_owned(), short.to_owned()));
        }
    }

    #[test]
    fn a_moment_has_no_fractions() {
        assert_eq!(moment(1_999_999_999), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn text_is_cut_with_a_sign() {
        assert_eq!(one_line("a\n  b\x1b[0m", 10), "a b [0m");
        assert_eq!(one_line("grüner Tee", 6), "grüne…");
        assert_eq!(one_line("evil\u{202e}txt", 20), "evil txt");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_line(text in any::<String>(), words in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            for line in [one_line(&text, 50), command_line(&words)] {
                prop_assert!(!line.contains(is_harmful), "{line:?}");
            }
            prop_assert!(one_line(&text, 50).chars().count() <= 50);
        }
    }
}
