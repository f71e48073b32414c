//! What the program prints: the one door to standard output and standard error.

use std::io::{self, Write};

use handoff_proto::problem::{Code, Problem};

/// Prints a line of the answer. A reader that went away has seen enough.
pub(super) fn line(text: &str) -> Result<(), Problem> {
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
    drop(writeln!(io::stderr().lock(), "{text}"));
}
