//! `handoff hook`: what agents run before a prompt is sent; `handoff install` has them do so.

use crate::agents::Kind;
use crate::agents::hook;
use crate::exit::Exit;
use crate::output::Output;

/// The arguments of `handoff hook`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent that asks
    pub agent: Kind,
}

/// Answers the agent whose question is on standard input.
#[must_use]
pub fn run(args: &Args, output: &Output) -> Exit {
    hook::answer(args.agent, std::io::stdin().lock(), output)
}
