//! How the program ends: the one door from errors to exit codes.

use std::process::ExitCode;

use handoff_proto::problem::{Code, Problem};

use super::output;

/// Tells what went wrong and returns its exit code.
pub(super) fn problem(problem: &Problem) -> ExitCode {
    output::error(&format!("handoffd: {}", problem.message));
    if !problem.hint.is_empty() {
        output::error(&format!("  {}", problem.hint));
    }
    ExitCode::from(problem.code.exit_code())
}

/// Tells how the command line is written: help that was asked for is no error.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        output::error(text.trim_end());
        ExitCode::from(Code::Usage.exit_code())
    } else {
        output::line(text.trim_end()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
    }
}

/// An error with its causes.
pub(super) fn failed(code: Code, error: &(dyn std::error::Error + 'static)) -> Problem {
    let causes: Vec<String> = std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect();
    Problem::new(code, causes.join(": "))
}
