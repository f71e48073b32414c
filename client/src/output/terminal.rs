//! Keeps bytes that a remote sent from taking the terminal over.

use std::fmt::Write as _;

use handoff_proto::path::{harmless, is_harmful};

/// The longest colour sequence that is waited for; longer ones are shown escaped.
const SEQUENCE_MAX: usize = 64;

/// Passes text, newlines, tabs and colour sequences; escapes all that a terminal would act upon
/// otherwise.
///
/// Works on a stream: a sequence or a character may be split between two calls.
#[derive(Debug, Default)]
pub struct TerminalFilter {
    pending: Vec<u8>,
}

impl TerminalFilter {
    /// What of the bytes so far may be written to the terminal.
    pub fn pass(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut safe = String::with_capacity(pending.len());
        let mut rest = pending.as_slice();
        while let Some(&byte) = rest.first() {
            let taken = match byte {
                0x1b => colour(rest),
                b'\r' => line_end(rest),
                _ => plain(rest),
            };
            match taken {
                Taken::Verbatim(length) => {
                    safe.push_str(&String::from_utf8_lossy(&rest[..length]));
                    rest = &rest[length..];
                }
                Taken::Nothing => rest = &rest[1..],
                Taken::Escaped => {
                    push_byte(&mut safe, byte);
                    rest = &rest[1..];
                }
                Taken::Control(character) => {
                    push(&mut safe, character);
                    rest = &rest[character.len_utf8()..];
                }
                Taken::Incomplete => break,
            }
        }
        self.pending = rest.to_vec();
        safe
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self) -> String {
        let mut safe = String::new();
        for byte in std::mem::take(&mut self.pending) {
            push_byte(&mut safe, byte);
        }
        safe
    }
}

/// What to do with the beginning of the bytes at hand.
enum Taken {
    /// Pass so many bytes.
    Verbatim(usize),
    /// Leave one byte out.
    Nothing,
    /// Show one byte escaped.
    Escaped,
    /// Show a character escaped where it is a control character.
    Control(char),
    /// Wait for more.
    Incomplete,
}

/// `ESC [ digits ; : m` sets colours and weights and nothing else.
fn colour(bytes: &[u8]) -> Taken {
    let parameters = match bytes.get(1) {
        None => return Taken::Incomplete,
        Some(b'[') => &bytes[2..],
        Some(_) => return Taken::Escaped,
    };
    let known = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    match parameters.iter().position(|byte| !known(byte)) {
        Some(end) if parameters[end] == b'm' => Taken::Verbatim(2 + end + 1),
        None if parameters.len() < SEQUENCE_MAX => Taken::Incomplete,
        Some(_) | None => Taken::Escaped,
    }
}

/// A carriage return says nothing right before a newline; elsewhere it lets text overwrite text.
fn line_end(bytes: &[u8]) -> Taken {
    match bytes.get(1) {
        None => Taken::Incomplete,
        Some(b'\n') => Taken::Nothing,
        Some(_) => Taken::Escaped,
    }
}

fn plain(bytes: &[u8]) -> Taken {
    // No character is longer than four bytes.
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(error) if error.error_len().is_none() && bytes.len() < 4 => return Taken::Incomplete,
        Err(_) => return Taken::Escaped,
    };
    valid.chars().next().map_or(Taken::Escaped, Taken::Control)
}

fn push(safe: &mut String, character: char) {
    if is_harmful(character) {
        safe.push_str(&harmless(character.encode_utf8(&mut [0; 4])));
    } else {
        safe.push(character);
    }
}

fn push_byte(safe: &mut String, byte: u8) {
    match byte {
        b'\r' => safe.push_str("\\r"),
        _ => write!(safe, "\\x{byte:02x}").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::mutated::{cut, mutated};

    fn filtered(parts: &[&[u8]]) -> String {
        let mut filter = TerminalFilter::default();
        let mut safe: String = parts.iter().map(|part| filter.pass(part)).collect();
        safe.push_str(&filter.finish());
        safe
    }

    #[test]
    fn colours_pass_and_everything_else_is_shown() {
        assert_eq!(filtered(&[b"\x1b[1;31mred\x1b[0m\n"]), "\x1b[1;31mred\x1b[0m\n");
        assert_eq!(filtered(&[b"\x1b]0;title\x07"]), "\\x1b]0;title\\x07");
        assert_eq!(filtered(&[b"\x1b[2J"]), "\\x1b[2J");
        assert_eq!(filtered(&[b"a\rb\r\n"]), "a\\rb\n");
        assert_eq!(filtered(&["\u{9b}2J".as_bytes()]), "\\u{9b}2J");
        assert_eq!(filtered(&["\u{202e}gnp.exe".as_bytes()]), "\\u{202e}gnp.exe");
        assert_eq!(filtered(&["👩\u{200d}💻".as_bytes()]), "👩\u{200d}💻");
        assert_eq!(filtered(&[b"abc\x08\x08\x08\x7f"]), "abc\\x08\\x08\\x08\\x7f");
        for sequence in ["[1A", "[K", "[?1049h", "]8;;x\x1b\\", "P1$r", "_x", "c", "[31;m\x1b[6n"] {
            let shown = filtered(&[format!("\x1b{sequence}").as_bytes()]);
            assert!(shown.starts_with("\\x1b") || shown.starts_with("\x1b[31;m\\x1b"), "{shown:?}");
        }
        assert_eq!(filtered(&[b"\xff\xfe"]), "\\xff\\xfe");
        assert_eq!(filtered(&["grün\t✓".as_bytes()]), "grün\t✓");
    }

    #[test]
    fn a_split_sequence_is_still_one() {
        assert_eq!(filtered(&[b"\x1b", b"[3", b"1m", b"\xe2\x9c", b"\x93"]), "\x1b[31m✓");
    }

    #[test]
    fn an_endless_sequence_is_not_waited_for() {
        assert!(filtered(&[b"\x1b[", &[b'1'; 1000]]).starts_with("\\x1b[111"));
    }

    /// Whether this is text, newlines, tabs and colour sequences, and nothing else.
    fn is_safe(shown: &str) -> bool {
        let mut rest = shown;
        while let Some(at) = rest.find(|c| is_harmful(c) && !matches!(c, '\n' | '\t')) {
            let Some(parameters) = rest[at..].strip_prefix("\x1b[") else { return false };
            let end = parameters.trim_start_matches(|c: char| "0123456789;:".contains(c));
            let Some(after) = end.strip_prefix('m') else { return false };
            rest = after;
        }
        true
    }

    /// What programs write to take a terminal over, as material for mutations.
    const SEEDS: [&str; 10] = [
        "\x1b[1;38:5:200mcolour\x1b[0m",
        "\x1b]0;title\x07",
        "\x1b]52;c;aGVsbG8=\x1b\\",
        "\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\",
        "\x1bP+q544e\x1b\\",
        "\x1b[2J\x1b[H\x1b[?25l",
        "\u{9b}31m\u{9d}0;x\u{9c}",
        "\u{202e}\u{2066}abc\u{2069}\u{202c}",
        "a\rb\r\nc\x08\x7f",
        "ü✓👩\u{200d}💻\u{feff}\u{e0041}",
    ];

    proptest! {
        #[test]
        fn nothing_but_colours_leaves_the_filter(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8),
        ) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let safe = filtered(&parts);
            prop_assert!(is_safe(&safe), "{:?}", safe);
        }

        #[test]
        fn neither_do_mutated_sequences_however_they_are_cut(
            seeds in proptest::collection::vec(0..SEEDS.len(), 1..6),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let bytes = mutated(&SEEDS, &seeds, changes);
            let parts = cut(&bytes, &cuts);
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let safe = filtered(&parts);
            prop_assert!(is_safe(&safe), "{:?}", safe);
            // Where a stream is cut makes no difference.
            prop_assert_eq!(safe, filtered(&[&bytes]));
        }
    }
}
