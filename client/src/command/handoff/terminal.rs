//! Whether a command gets a terminal.

use handoff_proto::wire::TerminalSize;

use crate::agents::Task;
use crate::cli::UsageError;
use crate::output::Format;
use crate::terminal;

/// The command's terminal: with `--tty`, or where there is one here, unless `--no-tty`. A program
/// that reads our JSON is nobody who would sit at it, and an agent is spoken to in other ways.
pub(super) fn wanted(
    tty: bool,
    no_tty: bool,
    task: Option<&Task>,
    format: Format,
) -> Result<Option<TerminalSize>, UsageError> {
    if let Some(task) = task.filter(|_| tty) {
        let agent = task.kind.name();
        return Err(UsageError {
            message: format!("{agent} is driven by the daemon and has no terminal"),
            hint: Some(format!("`handoff --tty --agent none -- {agent} …` runs it on one")),
        });
    }
    let here = task.is_none() && !no_tty && format == Format::Text && terminal::is_ours();
    Ok((tty || here).then(terminal::size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_for_those_who_ask_or_sit_at_one() {
        let check = |tty, no_tty| wanted(tty, no_tty, None, Format::Json).unwrap().is_some();
        assert!(check(true, false));
        assert!(!check(false, false));
        assert!(!check(false, true));
    }
}
