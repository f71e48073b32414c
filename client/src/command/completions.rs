//! `handoff completions`: a completion script for a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output::{Output, Stream};

/// The arguments of `handoff completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell that the script is for
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
///
/// Where standard output cannot be written.
pub fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "handoff", &mut script);
    output.bytes(Stream::Out, &script)?;
    Ok(Exit::Done)
}
