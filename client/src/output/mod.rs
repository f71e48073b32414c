//! The only place that prints.
//!
//! Results go to standard output, talk to standard error. Text may hold what a remote sent, so
//! control characters are escaped wherever a terminal would act upon them. Never decides what to
//! say.

mod progress;
mod terminal;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

pub use progress::Progress;
pub use terminal::{TerminalFilter, escape_controls};

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
        if self.out_terminal {
            out.write_all(escape_controls(text).as_bytes())?;
        } else {
            out.write_all(text.as_bytes())?;
        }
        Ok(out.flush()?)
    }

    /// Prints one JSON value and a newline to standard output.
    ///
    /// # Errors
    ///
    /// Where standard output cannot be written.
    pub fn json(&self, value: &impl Serialize) -> Result<(), WriteError> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
        line.push(b'\n');
        self.bytes(Stream::Out, &line)
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
        let line = format!("{}\n", escape_controls(&line.to_string()));
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
            Format::Json => self.tell(serde_json::json!({
                "error": error.message,
                "code": error.exit.code(),
                "hint": error.hint,
            })),
        }
    }

    /// Starts showing how a long transfer of `bytes` gets on.
    #[must_use]
    pub fn progress(&self, what: &str, bytes: u64) -> Progress {
        Progress::start(self.clone(), what, bytes)
    }
}
