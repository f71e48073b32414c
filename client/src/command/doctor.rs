//! `handoff doctor`: checks this machine and its remotes.

mod check;
mod machine;
mod remotes;

use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::output::Format;
use check::{Check, State};

/// The arguments of `handoff doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// The findings, for programs.
#[derive(Debug, Serialize)]
struct Findings<'a> {
    ok: bool,
    checks: &'a [Check],
}

/// Checks everything, changes nothing, starts nothing; fails where something necessary is missing.
///
/// # Errors
///
/// Where the remote asked for is not known or the findings cannot be printed.
pub async fn run(_args: Args, context: &Context) -> anyhow::Result<Exit> {
    let mut checks = vec![
        machine::version(),
        machine::settings(&context.settings),
        machine::git(),
        machine::local_daemon(&context.settings),
    ];
    checks.extend(remotes::checks(context).await?);
    checks.push(machine::notifications().await);
    checks.push(machine::notifier(&context.settings));
    let ok = checks.iter().all(|check| check.state != State::Failed);
    match context.output.format() {
        Format::Json => context.output.json(&Findings { ok, checks: &checks })?,
        Format::Text => checks.iter().try_for_each(|check| context.output.text(&check.lines()))?,
    }
    Ok(if ok { Exit::Done } else { Exit::Failed })
}
