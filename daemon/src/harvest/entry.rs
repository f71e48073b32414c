//! The hidden subcommand by which the executable collects a result inside its jail.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use super::arguments::{Arguments, SUBCOMMAND};
use super::collect::{Request, collect};
use super::note::reason;
use super::session::SessionPlace;
use super::write::write;
use crate::workspace::Base;

/// The usage of a command line was wrong.
const USAGE: u8 = 2;

/// Runs the hidden subcommand if the arguments name it.
///
/// Call it with `std::env::args_os()` early in `main`, before a runtime is started, and return the
/// code if there is one. The bundle goes to standard output, notes go to standard error.
#[must_use]
pub fn entry(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != SUBCOMMAND {
        return None;
    }
    let Some(arguments) = Arguments::read(arguments) else {
        complain("this subcommand is for handoffd itself");
        return Some(ExitCode::from(USAGE));
    };
    let request = Request {
        tree: arguments.tree,
        base: Base::new(arguments.base),
        scratch: arguments.scratch,
        mount_points: arguments.mount_points,
        session: arguments.session.map(|session| SessionPlace {
            agent: session.agent,
            id: session.id,
            directory: session.directory,
            place: session.place,
        }),
    };
    Some(match harvest(&request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&reason(&*error));
            ExitCode::FAILURE
        }
    })
}

fn harvest(request: &Request) -> Result<(), Box<dyn Error>> {
    let collection = collect(request)?;
    for note in &collection.notes {
        complain(&note.to_string());
    }
    Ok(write(&collection, BufWriter::new(io::stdout().lock()))?)
}

fn complain(line: &str) {
    // Nobody is left to tell if standard error is gone.
    let _gone: io::Result<()> = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Option<ExitCode> {
        entry(arguments.iter().map(OsString::from))
    }

    #[test]
    fn other_commands_are_left_alone() {
        assert!(check(&["handoffd"]).is_none());
        assert!(check(&["handoffd", "serve"]).is_none());
    }

    #[test]
    fn typed_by_hand_it_says_so() {
        assert!(check(&["handoffd", "harvest"]).is_some());
        assert!(check(&["handoffd", "harvest", "--tree", "relative"]).is_some());
    }
}
