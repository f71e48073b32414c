//! `handoff show`: one run as it stands.

mod account;

use jiff::Timestamp;

use crate::context::Context;
use crate::exit::Exit;
use crate::json::RunObject;
use crate::output::Format;
use crate::runs::{Selected, select};

/// The arguments of `handoff show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name; left out, the newest run of this directory
    pub run: Option<String>,
}

/// Shows the run.
///
/// # Errors
///
/// Where there is no such run.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let Selected { remote, selector } = select(context, args.run.as_deref()).await?;
    let run =
        remote.runs().show(selector).await.map_err(|status| remote.error(status))?.into_inner();
    match context.output.format() {
        Format::Json => context.output.json(&RunObject::new(run, remote.name()))?,
        Format::Text => {
            let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
            context.output.text(&account::of(&run, remote.name(), now))?;
        }
    }
    Ok(Exit::Done)
}
