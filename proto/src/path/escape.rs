//! Makes any bytes safe to print.

/// Shows bytes on one line that no terminal acts upon, without losing information.
///
/// Printable UTF-8 stays as it is. A backslash is doubled; tab, newline and carriage return are
/// written `\t`, `\n` and `\r`; other control characters and bytes that are no UTF-8 `\x1b`;
/// invisible characters that reorder or hide text (bidirectional controls, zero-width characters,
/// byte order mark, line and paragraph separators) `\u{202e}`.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut text, character);
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Shows text of several lines so that no terminal acts upon it: newline and tab stay, and joiners
/// and soft hyphens, without which some scripts and emoji cannot be written; everything else that
/// [`escaped`] escapes is escaped, but for the backslash.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => safe.push(character),
            _ if is_harmful(character) => push_escaped(&mut safe, character),
            _ => safe.push(character),
        }
    }
    safe
}

/// Whether a terminal acts upon a character, or shows what is around it in another order, without
/// showing the character itself.
#[must_use]
pub fn is_harmful(character: char) -> bool {
    let is_needed = matches!(character, '\u{ad}' | '\u{200c}' | '\u{200d}');
    character.is_control() || (is_invisible(character) && !is_needed)
}

fn push_escaped(text: &mut String, character: char) {
    match character {
        '\\' => text.push_str("\\\\"),
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        // C0 and DEL as the one byte they are; C1 controls are two bytes in UTF-8.
        '\0'..='\x1f' | '\x7f' => text.push_str(&format!("\\x{:02x}", u32::from(character))),
        _ if character.is_control() || is_invisible(character) => {
            text.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
        }
        _ => text.push(character),
    }
}

/// Characters of Unicode's general categories Cf, Zl and Zp that have no shape of their own.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
