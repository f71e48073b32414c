//! The command line: decides which command is meant and which words belong to it.
//!
//! Option parsing stops at the first word that is no option. If that word is a subcommand, the
//! rest is the subcommand's; otherwise it and the rest are the command to hand off. `--` makes any
//! word a command. Parses only; touches nothing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser};

use crate::command::{Command, handoff};
use crate::output::Format;
use crate::settings::nearest;

/// Close the laptop; your command keeps running
///
/// Hands COMMAND off to a daemon, with the exact tree, git state and paths of this directory, and
/// returns as soon as it is safe to disconnect. `handoff pull` brings the results back.
#[derive(Debug, Parser)]
#[command(
    name = "handoff",
    version,
    override_usage = "handoff [OPTIONS] [--] COMMAND [ARG]...\n       handoff SUBCOMMAND ...",
    subcommand_help_heading = "Subcommands",
    arg_required_else_help = false
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    handoff: handoff::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options that every command knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Global {
    /// The remote, instead of the default one
    #[arg(short, long, value_name = "NAME", global = true)]
    pub remote: Option<String>,
    /// Act as if started in this directory
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// Print JSON, also for errors
    #[arg(long, global = true)]
    pub json: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// Run a command.
    Run(Box<Invocation>),
    /// Print a text: help or the version.
    Text(String),
}

/// A command with its options.
#[derive(Debug)]
pub struct Invocation {
    /// Options that every command knows.
    pub global: Global,
    /// The command.
    pub command: Invoked,
}

/// Which of the two kinds of command lines.
#[derive(Debug)]
pub enum Invoked {
    /// A command is handed off.
    Handoff(Box<handoff::Args>),
    /// One of our own commands.
    Subcommand(Command),
}

/// The command line is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// A flag or subcommand whose effect does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{what}` is not built yet")]
pub struct NotBuilt {
    what: String,
}

impl NotBuilt {
    /// A subcommand.
    #[must_use]
    pub fn subcommand(name: &str) -> Self {
        Self { what: format!("handoff {name}") }
    }

    /// A flag, with its dashes.
    #[must_use]
    pub fn flag(flag: &str) -> Self {
        Self { what: flag.to_owned() }
    }
}

/// Parses the words of the command line, the program's name first.
///
/// # Errors
///
/// Where they are not what any command takes.
pub fn parse(words: &[OsString]) -> Result<Parsed, UsageError> {
    let matches = match Cli::command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Parsed::Text(error.render().to_string()));
        }
        Err(error) => return Err(usage_error(words, &error)),
    };
    let cli = Cli::from_arg_matches(&matches).map_err(|error| usage_error(words, &error))?;
    if let Some(not_built) = handoff::Args::first_not_built(&matches) {
        return Err(UsageError { message: not_built.to_string(), hint: None });
    }
    let command = match cli.command {
        Some(command) => {
            if let Some(flag) = handoff::Args::first_given(&matches) {
                return Err(misplaced_flag(words, &flag));
            }
            Invoked::Subcommand(command)
        }
        None if cli.handoff.command.is_empty() => {
            return Err(UsageError {
                message: "no command is given".to_owned(),
                hint: Some(
                    "`handoff COMMAND` hands COMMAND off; `handoff --help` tells more".to_owned(),
                ),
            });
        }
        None => {
            let resembles = resembles_subcommand(words);
            Invoked::Handoff(Box::new(handoff::Args { resembles, ..cli.handoff }))
        }
    };
    Ok(Parsed::Run(Box::new(Invocation { global: cli.global, command })))
}

/// Whether results and errors are wanted as JSON, also when the rest cannot be parsed.
#[must_use]
pub fn wanted_format(words: &[OsString]) -> Format {
    let ours = match first_word(words) {
        None => words,
        Some(FirstWord { at, kind: WordKind::Subcommand(_) }) => {
            let dashes = words[at..].iter().position(|word| word == "--");
            &words[..dashes.map_or(words.len(), |dashes| at + dashes)]
        }
        Some(FirstWord { at, kind: WordKind::Command }) => &words[..at],
    };
    if ours.iter().any(|word| word == "--json") { Format::Json } else { Format::Text }
}

/// The subcommand whose name looks like the command's, unless `--` says that it is a command.
fn resembles_subcommand(words: &[OsString]) -> Option<String> {
    let FirstWord { at, kind: WordKind::Command } = first_word(words)? else {
        return None;
    };
    if words[at - 1] == "--" {
        return None;
    }
    let cli = Cli::command();
    let subcommands = cli.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    nearest(words[at].to_str()?, subcommands.map(clap::Command::get_name)).map(str::to_owned)
}

/// The first word that is no option.
struct FirstWord {
    at: usize,
    kind: WordKind,
}

enum WordKind {
    Subcommand(String),
    Command,
}

fn first_word(words: &[OsString]) -> Option<FirstWord> {
    let cli = Cli::command();
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            return (at + 1 < words.len())
                .then_some(FirstWord { at: at + 1, kind: WordKind::Command });
        }
        if bytes.len() < 2 || bytes[0] != b'-' {
            let subcommand = word.to_str().filter(|word| cli.find_subcommand(word).is_some());
            let kind =
                subcommand.map_or(WordKind::Command, |name| WordKind::Subcommand(name.to_owned()));
            return Some(FirstWord { at, kind });
        }
        at += if value_follows(&cli, bytes) { 2 } else { 1 };
    }
    None
}

/// Whether the value of this option is the next word.
fn value_follows(cli: &clap::Command, option: &[u8]) -> bool {
    let takes_value =
        |arg: &clap::Arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    if let Some(long) = option.strip_prefix(b"--") {
        return cli.get_arguments().any(|arg| {
            takes_value(arg) && arg.get_long().is_some_and(|name| name.as_bytes() == long)
        });
    }
    let short = |byte: u8| {
        cli.get_arguments().any(|arg| takes_value(arg) && arg.get_short() == Some(char::from(byte)))
    };
    let cluster = &option[1..];
    cluster.iter().position(|&byte| short(byte)) == Some(cluster.len() - 1)
}

/// How to run a program that is called like a subcommand.
fn run_it_anyway(words: &[OsString]) -> Option<String> {
    let FirstWord { at, kind: WordKind::Subcommand(name) } = first_word(words)? else {
        return None;
    };
    let rest: Vec<_> = words[at..].iter().map(|word| word.to_string_lossy()).collect();
    Some(format!("`handoff -- {}` runs the program {name}", rest.join(" ")))
}

fn misplaced_flag(words: &[OsString], flag: &str) -> UsageError {
    UsageError {
        message: format!("`{flag}` belongs to handing a command off, not to a subcommand"),
        hint: run_it_anyway(words),
    }
}

fn usage_error(words: &[OsString], error: &clap::Error) -> UsageError {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // What follows the first paragraph is clap's own advice, which does not know about `--`.
    let message = text.split("\n\n").next().unwrap_or(text);
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let suggestion =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
            .into_iter()
            .find_map(|kind| match error.get(kind)? {
                ContextValue::String(one) => Some(one.clone()),
                ContextValue::Strings(several) => several.first().cloned(),
                _ => None,
            });
    let hints: Vec<_> = suggestion
        .map(|name| format!("did you mean `{name}`?"))
        .into_iter()
        .chain(run_it_anyway(words))
        .collect();
    let hint = if hints.is_empty() {
        "`handoff --help` lists the options".to_owned()
    } else {
        hints.join("; ")
    };
    UsageError { message, hint: Some(hint) }
}

#[cfg(test)]
mod tests;
