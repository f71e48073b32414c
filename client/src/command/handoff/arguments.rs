//! The arguments of `handoff COMMAND`.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::cli::NotBuilt;
use crate::command::carry::CarryArgs;
use crate::contract::TimeLimit;

/// The arguments of handing a command off.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's name; by default made from the command
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the whole program's help")]
    pub carry: CarryArgs,
    /// Drive COMMAND as this agent, or as `none`; by default its name tells
    #[arg(long, value_name = "KIND")]
    pub agent: Option<String>,
    /// Go on with this session of the agent; by default with the newest one of this directory
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Go on with a copy of the session; the session stays here as it is
    #[arg(long)]
    pub fork: bool,
    /// End the command after this time, such as 90s, 30m or 2h
    #[arg(long, value_name = "TIME")]
    pub time_limit: Option<TimeLimit>,
    /// Follow the run's output; Ctrl-C detaches, the run goes on
    #[arg(short, long)]
    pub follow: bool,
    /// Give the command a terminal, which `handoff attach` takes over; the default on a terminal
    #[arg(long, conflicts_with = "no_tty")]
    pub tty: bool,
    /// Give the command no terminal, even from one
    #[arg(long)]
    pub no_tty: bool,
    /// Send files even though they look as if they held secrets
    #[arg(long)]
    pub allow_secrets: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the whole program's help")]
    pub not_built: NotBuiltArgs,
    /// The command, executed without a shell
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// The subcommand that the command's first word looks like.
    #[arg(skip)]
    pub resembles: Option<String>,
}

/// Flags whose effect does not exist yet; known so that they are not mistaken for misspelt ones.
#[derive(Debug, clap::Args)]
pub struct NotBuiltArgs {
    #[arg(long, hide = true)]
    max_turns: Option<OsString>,
    #[arg(long, hide = true)]
    max_cost: Option<OsString>,
    #[arg(long, hide = true)]
    verify: Vec<OsString>,
    #[arg(long, hide = true)]
    attempts: Option<OsString>,
    #[arg(long, hide = true)]
    stdin: bool,
}

/// Every flag of [`NotBuiltArgs`], by its id.
const NOT_BUILT: [&str; 5] = ["max_turns", "max_cost", "verify", "attempts", "stdin"];

/// Every other flag that only handing off knows, by its id.
const OWN: [&str; 13] = [
    "name",
    "agent",
    "session",
    "fork",
    "include",
    "exclude",
    "env",
    "allow_host",
    "time_limit",
    "follow",
    "tty",
    "no_tty",
    "allow_secrets",
];

impl Args {
    /// The first flag on the command line that belongs to handing off, with its dashes.
    #[must_use]
    pub fn first_given(matches: &ArgMatches) -> Option<String> {
        first_of(matches, NOT_BUILT.iter().chain(&OWN))
    }

    /// The first flag on the command line that is not built yet.
    #[must_use]
    pub fn first_not_built(matches: &ArgMatches) -> Option<NotBuilt> {
        first_of(matches, NOT_BUILT.iter()).map(|flag| NotBuilt::flag(&flag))
    }
}

fn first_of<'a>(matches: &ArgMatches, ids: impl Iterator<Item = &'a &'a str>) -> Option<String> {
    let given = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    ids.into_iter().find(given).map(|id| format!("--{}", id.replace('_', "-")))
}
