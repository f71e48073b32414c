//! What could not be returned, and why: one line each on the harvester's standard error.
//!
//! The lines are for people. Nothing is decided by them.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read};

use handoff_proto::path::{TreePath, escaped};

/// How many lines are kept.
const LINES_MAX: usize = 200;

/// How many bytes of a line are kept.
const LINE_MAX: u64 = 4096;

/// Something that a result lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A path that is not among the entries.
    LeftOut {
        /// The escaped path.
        path: String,
        /// Why.
        reason: String,
    },
    /// A repository of which only the files are returned.
    Repository {
        /// The directory of its working tree; `None` for the root.
        path: Option<TreePath>,
        /// Why.
        reason: String,
    },
    /// A reference that is not returned.
    Reference {
        /// The escaped name.
        name: String,
        /// Why.
        reason: &'static str,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut { path, reason } => write!(f, "left out `{path}`: {reason}"),
            Self::Repository { path, reason } => {
                let path = path.as_ref().map_or_else(|| ".".to_owned(), TreePath::to_string);
                write!(f, "git state of `{path}` is not returned, its files are: {reason}")
            }
            Self::Reference { name, reason } => write!(f, "left out reference `{name}`: {reason}"),
        }
    }
}

/// An error with its causes on one line.
pub(super) fn reason(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Reads the notes that a harvester wrote to its standard error, as lines that no terminal acts
/// upon, the first two hundred.
///
/// # Errors
///
/// Where reading fails.
pub fn notes(stderr: impl Read) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut input = BufReader::new(stderr);
    while lines.len() < LINES_MAX {
        let mut line = Vec::new();
        let got = input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
        if got == 0 {
            break;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        // What the harvester wrote is escaped already: only a liar's lines change here.
        if line.iter().all(|byte| (b' '..0x7f).contains(byte)) {
            lines.push(String::from_utf8_lossy(line).into_owned());
        } else {
            lines.push(escaped(line));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_number_and_length_and_harmless() {
        let hostile = [b"\x1b[2J ".as_slice(), &[b'x'; 10_000], b"\n"].concat().repeat(500);
        let lines = notes(hostile.as_slice()).expect("read");
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines.iter().all(|line| (line.len() as u64) <= 2 * LINE_MAX));
        assert!(lines[0].starts_with(r"\x1b[2J x"));
    }

    #[test]
    fn a_note_comes_back_as_it_was_written() {
        let note = Note::LeftOut { path: r"a\nb".to_owned(), reason: "is a socket".to_owned() };
        let lines = notes(format!("{note}\n").as_bytes()).expect("read");
        assert_eq!(lines, [r"left out `a\nb`: is a socket"]);
    }
}
