//! `handoff install` and `uninstall`: what runs on this machine beside the command line.

mod agent;

use clap::ValueEnum;
use serde::Serialize;

use crate::agents::Kind;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Format;

/// The arguments of `handoff install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// What to install
    pub what: Part,
}

/// The arguments of `handoff uninstall`.
#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// What to uninstall
    pub what: Part,
}

/// What can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Desktop notifications about runs
    Notifier,
    /// `/handoff PROMPT` and `& PROMPT` inside Claude Code
    Claude,
    /// `$handoff PROMPT` and `& PROMPT` inside Codex
    Codex,
}

/// Runs `handoff install`.
///
/// # Errors
///
/// Whatever kept the part from being installed.
pub async fn install(args: InstallArgs, context: &Context) -> anyhow::Result<Exit> {
    match args.what {
        Part::Notifier => notifier::install(context).await,
        Part::Claude => agent::install(Kind::Claude, context),
        Part::Codex => agent::install(Kind::Codex, context),
    }
}

/// Runs `handoff uninstall`.
///
/// # Errors
///
/// Whatever kept the part from being uninstalled.
pub async fn uninstall(args: UninstallArgs, context: &Context) -> anyhow::Result<Exit> {
    match args.what {
        Part::Notifier => notifier::uninstall(context).await,
        Part::Claude => agent::uninstall(Kind::Claude, context),
        Part::Codex => agent::uninstall(Kind::Codex, context),
    }
}

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct Done {
    done: Vec<String>,
}

fn tell(done: Vec<String>, context: &Context) -> anyhow::Result<Exit> {
    match context.output.format() {
        Format::Json => context.output.json(&Done { done })?,
        Format::Text => done.iter().try_for_each(|line| context.output.line(line))?,
    }
    Ok(Exit::Done)
}

#[cfg(target_os = "linux")]
mod notifier {
    use super::tell;
    use crate::context::Context;
    use crate::exit::Exit;
    use crate::notifier::install::Installation;

    pub(super) async fn install(context: &Context) -> anyhow::Result<Exit> {
        let done = Installation::of_this_program(&context.settings.places)?.install().await?;
        tell(done, context)
    }

    pub(super) async fn uninstall(context: &Context) -> anyhow::Result<Exit> {
        let done = Installation::of_this_program(&context.settings.places)?.uninstall().await?;
        if done.is_empty() {
            context.output.note("the notifier was not installed");
        }
        tell(done, context)
    }
}

#[cfg(not(target_os = "linux"))]
mod notifier {
    use crate::cli::NotBuilt;
    use crate::context::Context;
    use crate::exit::Exit;

    pub(super) async fn install(_context: &Context) -> anyhow::Result<Exit> {
        Err(NotBuilt::subcommand("install notifier").into())
    }

    pub(super) async fn uninstall(_context: &Context) -> anyhow::Result<Exit> {
        Err(NotBuilt::subcommand("uninstall notifier").into())
    }
}
