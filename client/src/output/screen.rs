//! Lets what a run draws reach the terminal, and nothing by which it could reach further.
//!
//! A program at a terminal needs more than colours: it moves the cursor, clears, scrolls, and
//! switches to another screen and back. All of that passes, by name; what has no name here does
//! not. So a run never gets an answer out of the terminal (those are typed, sooner or later into the
//! user's own shell), never reads or fills the clipboard, prints, resizes or names windows, reads
//! the screen, or changes how keys are told, by which the keys that detach could be lost.

mod sequence;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use sequence::{Effect, judge_control, judge_escape};

use super::{Output, Stream, WriteError};

/// The longest control sequence that is waited for; longer ones are left out.
const SEQUENCE_MAX: usize = 64;

/// Passes what draws, and remembers what has to be undone.
///
/// Works on a stream: a sequence or a character may be split between two calls.
#[derive(Debug, Default)]
pub struct ScreenFilter {
    state: State,
    /// The beginning of a character.
    character: Vec<u8>,
    left_behind: LeftBehind,
    /// Whether nobody reads what the terminal would tell.
    looks_only: bool,
}

/// Where in a sequence the stream is.
#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// Behind `ESC`, and these.
    Escape(Vec<u8>),
    /// Behind `ESC [`, and these.
    Control(Vec<u8>),
    /// In one that is too long to be meant.
    Endless,
    /// In a title, a clipboard, a picture, or whatever else is sent to the terminal as a text.
    Message,
}

/// What a terminal would go on with after the run.
#[derive(Debug, Default)]
struct LeftBehind {
    /// Private modes that are not as they are at first.
    modes: BTreeSet<u16>,
    margins: bool,
    cursor_shape: bool,
    anything: bool,
}

/// Private modes that are on at first: lines wrap, and there is a cursor.
const ON_AT_FIRST: [u16; 2] = [7, 25];

/// Private modes in which the terminal tells of keys, mouse, focus and pastes in other ways: without a
/// reader that would end up in the user's shell.
const TELLING: [u16; 11] = [1, 9, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 2004];

impl ScreenFilter {
    /// For who only looks: the terminal is not asked to tell of keys or the mouse.
    #[must_use]
    pub fn looking() -> Self {
        Self { looks_only: true, ..Self::default() }
    }

    /// What of the bytes so far may be written to the terminal.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut safe = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.step(byte, &mut safe);
        }
        self.left_behind.anything |= !safe.is_empty();
        safe
    }

    /// What puts the terminal back as a shell expects it: its own screen, a cursor, no mouse, no
    /// colours; then the beginning of a line. Nothing if nothing was passed.
    pub fn reset(&mut self) -> Vec<u8> {
        let Self { left_behind, .. } = std::mem::take(self);
        if !left_behind.anything {
            return Vec::new();
        }
        let mut reset = Vec::new();
        if left_behind.margins {
            // Setting margins moves the cursor, which therefore is saved and restored.
            reset.extend_from_slice(b"\x1b7\x1b[r\x1b8");
        }
        for mode in left_behind.modes {
            let as_at_first = if ON_AT_FIRST.contains(&mode) { 'h' } else { 'l' };
            reset.extend_from_slice(format!("\x1b[?{mode}{as_at_first}").as_bytes());
        }
        if left_behind.cursor_shape {
            reset.extend_from_slice(b"\x1b[0 q");
        }
        // Characters replace others; letters are letters; the keypad types digits; no colours.
        reset.extend_from_slice(b"\x1b[4l\x1b(B\x0f\x1b>\x1b[0m\r\n");
        reset
    }

    fn step(&mut self, byte: u8, safe: &mut Vec<u8>) {
        match (&mut self.state, byte) {
            (_, 0x1b) => {
                self.cut_character(safe);
                self.state = State::Escape(Vec::new());
            }
            // These end every sequence.
            (_, 0x18 | 0x1a) => {
                self.cut_character(safe);
                self.state = State::Text;
            }
            (State::Text, _) => self.text(byte, safe),
            (State::Message, 0x07) => self.state = State::Text,
            (State::Message, _) => {}
            // Whatever stands in the middle of a sequence acts as if it stood before it.
            (State::Escape(_) | State::Control(_) | State::Endless, 0..0x20) => {
                control_character(byte, safe);
            }
            (State::Escape(_) | State::Control(_) | State::Endless, 0x7f) => {}
            (State::Escape(_) | State::Control(_) | State::Endless, 0x80..) => {
                self.state = State::Text;
                self.text(byte, safe);
            }
            (State::Escape(before), b'[') if before.is_empty() => {
                self.state = State::Control(Vec::new());
            }
            (State::Escape(before), b']' | b'P' | b'X' | b'^' | b'_' | b'k')
                if before.is_empty() =>
            {
                self.state = State::Message;
            }
            (State::Escape(body) | State::Control(body), _) if body.len() >= SEQUENCE_MAX => {
                self.state = State::Endless;
                self.step(byte, safe);
            }
            (State::Escape(body), 0x20..0x30) => body.push(byte),
            (State::Escape(body), _) => {
                let effect = judge_escape(body, byte);
                self.act(effect, safe);
            }
            (State::Control(body), 0x20..0x40) => body.push(byte),
            (State::Control(body), _) => {
                let effect = judge_control(body, byte);
                self.act(effect, safe);
            }
            (State::Endless, 0x40..) => self.state = State::Text,
            (State::Endless, _) => {}
        }
    }

    /// Passes the end of a sequence if it has a name.
    fn act(&mut self, effect: Option<Effect>, safe: &mut Vec<u8>) {
        self.state = State::Text;
        let Some(effect) = effect else { return };
        let effect = match effect {
            Effect::Modes { mut modes, on } if self.looks_only => {
                modes.retain(|mode| !TELLING.contains(mode));
                if modes.is_empty() {
                    return;
                }
                Effect::Modes { modes, on }
            }
            effect => effect,
        };
        let left_behind = &mut self.left_behind;
        match &effect {
            Effect::Modes { modes, on } => {
                for mode in modes {
                    if *on == ON_AT_FIRST.contains(mode) {
                        left_behind.modes.remove(mode);
                    } else {
                        left_behind.modes.insert(*mode);
                    }
                }
            }
            Effect::Margins(_) => left_behind.margins = true,
            Effect::CursorShape(_) => left_behind.cursor_shape = true,
            Effect::Draws(_) => {}
        }
        effect.write(safe);
    }

    fn text(&mut self, byte: u8, safe: &mut Vec<u8>) {
        if byte < 0x80 {
            self.cut_character(safe);
            match byte {
                0..0x20 => control_character(byte, safe),
                0x7f => {}
                _ => safe.push(byte),
            }
            return;
        }
        self.character.push(byte);
        match std::str::from_utf8(&self.character) {
            // Control characters of eight bits begin sequences, too.
            Ok(text) if text.chars().any(char::is_control) => {}
            Ok(text) => safe.extend_from_slice(text.as_bytes()),
            Err(error) if error.error_len().is_none() => return,
            Err(_) => {
                let begun = self.character.len() > 1;
                self.character.clear();
                replacement(safe);
                if begun {
                    self.text(byte, safe);
                }
                return;
            }
        }
        self.character.clear();
    }

    /// A character that is not whole by now never will be.
    fn cut_character(&mut self, safe: &mut Vec<u8>) {
        if !self.character.is_empty() {
            self.character.clear();
            replacement(safe);
        }
    }
}

/// Passes bells, ends of lines, tabs, backspaces and shifts of the alphabet; not the one that asks
/// the terminal who it is.
fn control_character(byte: u8, safe: &mut Vec<u8>) {
    if matches!(byte, 0x07..=0x0f) {
        safe.push(byte);
    }
}

fn replacement(safe: &mut Vec<u8>) {
    safe.extend_from_slice("\u{fffd}".as_bytes());
}

/// Draws what a run shows on our standard output, a terminal, and puts that back in order in the
/// end, whatever the end is.
#[derive(Debug)]
pub struct Screen {
    output: Output,
    filter: ScreenFilter,
}

impl Screen {
    /// Begins to draw, for who has the keyboard.
    #[must_use]
    pub fn new(output: Output) -> Self {
        Self { output, filter: ScreenFilter::default() }
    }

    /// The same for who only looks.
    #[must_use]
    pub fn looking(output: Output) -> Self {
        Self { output, filter: ScreenFilter::looking() }
    }

    /// Draws.
    ///
    /// # Errors
    ///
    /// Where standard output cannot be written.
    pub fn draw(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.output.bytes(Stream::Out, &self.filter.pass(bytes))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone needs no order.
        drop(self.output.bytes(Stream::Out, &self.filter.reset()));
    }
}
