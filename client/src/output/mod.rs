//! The only place that prints.
//!
//! Results go to standard output, talk to standard error. Text may hold what a remote sent, so
//! control characters are escaped wherever a terminal would act upon them. Never decides what to
//! say.

#[cfg(test)]
mod mutated;
mod progress;
mod screen;
mod terminal;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

pub use progress::Progress;
pub use screen::{Screen, ScreenFilter};
pub use terminal::TerminalFilter;

use handoff_proto::path::{harmless, is_harmful};

use crate::exit::Explained;

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub struct WriteError(#[from] io::Error);

impl WriteError {
    /// Whether whoever read our output has seen enough.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Whether results and errors are for a human or for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of text.
    Text,
    /// JSON.
    Json,
}

/// When the user is told what goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    Always,
    /// Wherever a program may read standard error, it is the run's own or holds errors only.
    OnTerminal,
}

/// Which of the process's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The process's standard output and standard error.
#[derive(Clone, Debug)]
pub struct Output {
    format: Format,
    talk: Talk,
    out_terminal: bool,
    err_terminal: bool,
}

impl Output {
    /// The streams as the process got them.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            talk: match format {
                Format::Text => Talk::Always,
                Format::Json => Talk::OnTerminal,
            },
            out_terminal: io::stdout().is_terminal(),
            err_terminal: io::stderr().is_terminal(),
        }
    }

    /// The same streams, where standard error belongs to a run: only a terminal shows notes.
    #[must_use]
    pub fn sparing(&self) -> Self {
        Self { talk: Talk::OnTerminal, ..self.clone() }
    }

    /// Whether `--json` was given.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether a stream is a terminal.
    #[must_use]
    pub fn is_terminal(&self, stream: Stream) -> bool {
        match stream {
            Stream::Out => self.out_terminal,
            Stream::Err => self.err_terminal,
        }
    }

    /// Prints one line of a result.
    ///
    /// # Errors
    ///
    /// Where standard output cannot be written.
    pub fn line(&self, line: impl Display) -> Result<(), WriteError> {
        self.text(&format!("{line}\n"))
    }

    /// Prints text that ends its own lines to standard output.
    ///
    /// # Errors
    ///
    /// Where standard output cannot be written.
    pub fn text(&self, text: &str) -> Result<(), WriteError> {
        let mut out = io::stdout().lock();
        out.write_all(shown(text, self.out_terminal).as_bytes())?;
        Ok(out.flush()?)
    }

    /// Prints one JSON value and a newline to standard output.
    ///
    /// # Errors
    ///
    /// Where standard output cannot be written.
    pub fn json(&self, value: &impl Serialize) -> Result<(), WriteError> {
        let line = serde_json::to_string(value).map_err(io::Error::from)?;
        self.bytes(Stream::Out, format!("{}\n", harmless_json(&line)).as_bytes())
    }

    /// Writes bytes as they are. Run a [`TerminalFilter`] over what a remote sent first where the
    /// stream is a terminal.
    ///
    /// # Errors
    ///
    /// Where the stream cannot be written.
    pub fn bytes(&self, stream: Stream, bytes: &[u8]) -> Result<(), WriteError> {
        match stream {
            Stream::Out => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()?;
            }
            Stream::Err => io::stderr().lock().write_all(bytes)?,
        }
        Ok(())
    }

    /// Tells the user something on standard error.
    pub fn note(&self, line: impl Display) {
        if self.talk == Talk::Always || self.err_terminal {
            self.tell(line);
        }
    }

    fn tell(&self, line: impl Display) {
        let line = format!("{}\n", one_item(&line.to_string()));
        // Nobody is left to be told that standard error is closed.
        drop(self.bytes(Stream::Err, line.as_bytes()));
    }

    /// Prints an error to standard error: heading and causes, then what to do next.
    pub fn error(&self, error: &Explained) {
        match self.format {
            Format::Text => {
                self.tell(format_args!("error: {}", error.message));
                if let Some(hint) = &error.hint {
                    self.tell(format_args!("hint: {hint}"));
                }
            }
            Format::Json => {
                let object = serde_json::json!({
                    "error": error.message,
                    "code": error.exit.code(),
                    "hint": error.hint,
                });
                self.tell(harmless_json(&object.to_string()));
            }
        }
    }

    /// Starts showing how a long transfer of `bytes` gets on.
    #[must_use]
    pub fn progress(&self, what: &str, bytes: u64) -> Progress {
        Progress::start(self.clone(), what, bytes)
    }
}

/// Text of a result as it is printed: to programs as it is.
fn shown(text: &str, to_terminal: bool) -> String {
    if to_terminal { harmless(text) } else { text.to_owned() }
}

/// One item of talk: what goes on for several lines is indented, so that no line of it passes for
/// an item of its own.
fn one_item(text: &str) -> String {
    harmless(text.trim_end()).replace('\n', "\n  ")
}

/// The same JSON in characters that no terminal acts upon: such ones stand in strings only, where
/// they can be written as escapes.
fn harmless_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        if is_harmful(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &str = "a\x1b[2Jb\u{9b}31mc\u{202e}d\x08e\rf\x7fg\u{e0041}h";

    fn is_harmless(text: &str) -> bool {
        !text.chars().any(|c| is_harmful(c) && !matches!(c, '\n' | '\t'))
    }

    #[test]
    fn results_reach_a_terminal_escaped_and_a_program_as_they_are() {
        assert!(is_harmless(&shown(HOSTILE, true)), "{}", shown(HOSTILE, true));
        assert_eq!(shown(HOSTILE, false), HOSTILE);
    }

    #[test]
    fn no_line_of_a_message_passes_for_another_message() {
        let item = one_item("error: no\nhint: run `rm -rf ~`\x1b[A\n");
        assert_eq!(item, "error: no\n  hint: run `rm -rf ~`\\x1b[A");
    }

    proptest! {
        #[test]
        fn json_means_the_same_and_is_harmless(text in any::<String>()) {
            let text = format!("{text}{HOSTILE}");
            let json = harmless_json(&serde_json::to_string(&text).unwrap());
            prop_assert!(is_harmless(&json) && !json.contains('\n'), "{}", json);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
