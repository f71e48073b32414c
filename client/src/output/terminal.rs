//! Keeps bytes that a remote sent from taking the terminal over.

use std::fmt::Write as _;

/// The longest colour sequence that is waited for; longer ones are shown escaped.
const SEQUENCE_MAX: usize = 64;

/// Escapes every control character but the newline and the tab.
#[must_use]
pub fn escape_controls(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut safe, character);
    }
    safe
}

/// Passes text, newlines, tabs and colour sequences; escapes all other control characters.
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

/// A carriage return is harmless only right before a newline: alone it lets text overwrite text.
fn line_end(bytes: &[u8]) -> Taken {
    match bytes.get(1) {
        None => Taken::Incomplete,
        Some(b'\n') => Taken::Verbatim(1),
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
    if matches!(character, '\n' | '\t') || !character.is_control() {
        safe.push(character);
    } else {
        let mut buffer = [0; 4];
        for byte in character.encode_utf8(&mut buffer).bytes() {
            push_byte(safe, byte);
        }
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
        assert_eq!(filtered(&[b"a\rb\r\n"]), "a\\rb\r\n");
        assert_eq!(filtered(&["\u{9b}2J".as_bytes()]), "\\xc2\\x9b2J");
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

    proptest! {
        #[test]
        fn nothing_but_colours_leaves_the_filter(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8),
        ) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let safe = filtered(&parts);
            let mut rest = safe.as_str();
            while let Some(at) = rest.find(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
                let tail = &rest[at..];
                let colour = tail.starts_with("\x1b[")
                    && tail[2..].trim_start_matches(|c: char| "0123456789;:".contains(c)).starts_with('m');
                prop_assert!(colour || tail.starts_with("\r\n"), "{:?}", safe);
                rest = &tail[1..];
            }
        }
    }
}
