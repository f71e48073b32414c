//! What the program prints: the one door to standard output and standard error.

use std::io::{self, IsTerminal as _, Write};

use handoff_proto::path::harmless;
use handoff_proto::problem::{Code, Problem};

/// Prints a line of the answer. A reader that went away has seen enough.
pub(super) fn line(text: &str) -> Result<(), Problem> {
    let text = shown(text, io::stdout().is_terminal());
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::new(Code::Failed, format!("cannot write the answer: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a line for the human beside the answer.
pub(super) fn error(text: &str) {
    // With standard error gone there is nobody left to tell.
    let text = shown(text, io::stderr().is_terminal());
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Text as it is printed. It may hold what a client or a run chose, such as a device's label: no
/// terminal acts upon it.
fn shown(text: &str, to_terminal: bool) -> String {
    if to_terminal { harmless(text) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_terminal_shows_what_it_is_told_to_do() {
        let hostile = "lap\x1b[2Jtop\u{202e}\u{9b}31m\x08\r";
        let shown = shown(hostile, true);
        assert_eq!(shown, r"lap\x1b[2Jtop\u{202e}\u{9b}31m\x08\r");
        assert_eq!(super::shown(hostile, false), hostile);
    }
}
