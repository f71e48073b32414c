//! `handoff stop`: ends a run.

use crate::context::Context;
use crate::exit::Exit;
use crate::json::RunObject;
use crate::output::Format;
use crate::runs::{Selected, select};

/// The arguments of `handoff stop`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name; left out, the newest run of this directory
    pub run: Option<String>,
}

/// Asks for the run's end; returns when that is on record, so that nothing can undo it.
///
/// # Errors
///
/// Where there is no such run or it has finished already.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let Selected { remote, selector } = select(context, args.run.as_deref()).await?;
    let run =
        remote.runs().stop(selector).await.map_err(|status| remote.error(status))?.into_inner();
    match context.output.format() {
        Format::Json => context.output.json(&RunObject::new(run, remote.name()))?,
        Format::Text if run.outcome.is_empty() => {
            context.output.note(format_args!("{} is being stopped", run.name));
        }
        Format::Text => context.output.note(format_args!("{} is stopped", run.name)),
    }
    Ok(Exit::Done)
}
