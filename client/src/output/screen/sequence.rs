//! The sequences that draw, by name. Pure.

/// What passes, and what has to be remembered of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It draws, or moves the cursor: the bytes behind `ESC`.
    Draws(Vec<u8>),
    /// The part of the screen that scrolls.
    Margins(Vec<u8>),
    /// How the cursor looks.
    CursorShape(Vec<u8>),
    /// Private modes, of those that are allowed.
    Modes { modes: Vec<u16>, on: bool },
}

/// Private modes that programs draw with, and nothing else: keys of the cursor and the keypad,
/// colours reversed, origin, wrapping, a blinking or hidden cursor, the mouse, focus, the other
/// screen, pastes in brackets, updates at once. Not 3, which resizes the window, nor those by which
/// keys are told in other ways.
const MODES: [u16; 22] = [
    1, 5, 6, 7, 9, 12, 25, 45, 47, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1048, 1049,
    2004, 2026,
];

/// Alphabets: line drawing, British, American, and two of ROM.
const ALPHABETS: &[u8] = b"0AB12";

/// Judges `ESC`, these, and the last one.
pub(super) fn judge_escape(between: &[u8], last: u8) -> Option<Effect> {
    let draws = match between {
        // Save and restore the cursor, keypad, line feeds, a tab stop; and all of it anew.
        [] => b"78=>DEHMc".contains(&last),
        [b'(' | b')' | b'*' | b'+'] => ALPHABETS.contains(&last),
        // Large and wide lines, and the pattern by which screens are adjusted.
        [b'#'] => b"34568".contains(&last),
        _ => false,
    };
    draws.then(|| Effect::Draws([between, &[last]].concat()))
}

/// Judges `ESC [`, these, and the last one.
pub(super) fn judge_control(body: &[u8], last: u8) -> Option<Effect> {
    let (private, rest) = match body {
        [private @ (b'<' | b'=' | b'>' | b'?'), rest @ ..] => (Some(*private), rest),
        rest => (None, rest),
    };
    let is_parameter = |byte: &u8| matches!(byte, b'0'..=b';');
    let end = rest.iter().position(|byte| !is_parameter(byte)).unwrap_or(rest.len());
    let (parameters, between) = rest.split_at(end);
    let whole = || [b"[", body, &[last]].concat();
    match (private, between, last) {
        // Erase, insert, delete, move, scroll, tabs, colours; repeat a character.
        (None, [], b'@' | b'A'..=b'M' | b'P' | b'S' | b'X' | b'Z' | b'`' | b'a' | b'b')
        | (None, [], b'd'..=b'g' | b'm')
        | (Some(b'?'), [], b'J' | b'K')
        // Soft reset.
        | (None, [b'!'], b'p') => Some(Effect::Draws(whole())),
        // With more parameters it follows the mouse, and waits for an answer.
        (None, [], b'T') if !parameters.contains(&b';') => Some(Effect::Draws(whole())),
        // Save and restore the cursor. With parameters, the second one is about keys.
        (None, [], b's' | b'u') if parameters.is_empty() => Some(Effect::Draws(whole())),
        // Whether characters replace others.
        (None, [], b'h' | b'l') if parameters == b"4" => Some(Effect::Draws(whole())),
        (None, [], b'r') => Some(Effect::Margins(whole())),
        (None, [b' '], b'q') => Some(Effect::CursorShape(whole())),
        (Some(b'?'), [], b'h' | b'l') => {
            let numbers = parameters.split(|byte| *byte == b';').filter_map(number);
            let modes: Vec<u16> = numbers.filter(|mode| MODES.contains(mode)).collect();
            (!modes.is_empty()).then_some(Effect::Modes { modes, on: last == b'h' })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Effect {
    /// Writes it as the terminal gets it.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.push(0x1b);
        match self {
            Self::Draws(rest) | Self::Margins(rest) | Self::CursorShape(rest) => {
                to.extend_from_slice(rest);
            }
            Self::Modes { modes, on } => {
                let modes: Vec<String> = modes.iter().map(u16::to_string).collect();
                let last = if *on { 'h' } else { 'l' };
                to.extend_from_slice(format!("[?{}{last}", modes.join(";")).as_bytes());
            }
        }
    }
}
