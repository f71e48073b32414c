//! `handoff notifier`: the background process that notifies about runs.

use crate::context::Context;
use crate::exit::Exit;
use crate::notifier;

/// The arguments of `handoff notifier`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Notifies about the runs of all remotes until stopped.
///
/// # Errors
///
/// Where another notifier runs.
pub async fn run(_args: Args, context: &Context) -> anyhow::Result<Exit> {
    notifier::run(context.settings.clone(), &context.output).await?;
    Ok(Exit::Done)
}
