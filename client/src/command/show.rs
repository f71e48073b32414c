//! `handoff show`: one run as it stands.

mod account;

use jiff::Timestamp;

use crate::context::Context;
use crate::exit::Exit;
use crate::json::RunObject;
use crate::output::Format;
use crate::runs::{Selected, find_unsent, select};

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
    let (run, remote) = match find_unsent(context, args.run.as_deref())? {
        Some(entry) => (entry.view(), entry.remote),
        None => {
            let Selected { remote, selector } = select(context, args.run.as_deref()).await?;
            let shown = remote.runs().show(selector).await;
            let run = shown.map_err(|status| remote.error(status))?.into_inner();
            (run, remote.name().to_owned())
        }
    };
    match context.output.format() {
        Format::Json => context.output.json(&RunObject::new(run, &remote))?,
        Format::Text => {
            let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
            context.output.text(&account::of(&run, &remote, now))?;
        }
    }
    Ok(Exit::Done)
}
