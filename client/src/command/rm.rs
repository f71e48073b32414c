//! `handoff rm`: removes a finished run from its remote, or drops one that has not been sent.

use handoff_proto::problem::Code;
use handoff_proto::run::RunId;
use handoff_proto::wire::RunSelector;
use serde::Serialize;

use crate::agents::lease::Leases;
use crate::context::Context;
use crate::exit::Exit;
use crate::outbox::{Entry, Outbox};
use crate::output::Format;
use crate::runs::{Ledger, Selected, find_unsent, select};

/// The arguments of `handoff rm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name
    pub run: String,
}

/// What was removed, for programs.
#[derive(Debug, Serialize)]
struct Removed {
    id: String,
    name: String,
    remote: String,
}

/// Removes the run there and what is remembered of it here.
///
/// # Errors
///
/// Where there is no such run or it has not finished.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(entry) = find_unsent(context, Some(&args.run))? {
        return drop_unsent(&entry, context);
    }
    let Selected { remote, selector } = select(context, Some(&args.run)).await?;
    let mut runs = remote.runs();
    let leases = Leases::new(&context.settings.places);
    let run = match runs.show(selector).await.map_err(|status| remote.error(status)) {
        Ok(run) => run.into_inner(),
        Err(error) => {
            // Nobody can pull what its remote has forgotten: its session is this machine's again.
            if error.problem_code() == Some(Code::NotFound) {
                leases.release_called(&args.run, Some(remote.name()))?;
            }
            return Err(error.into());
        }
    };
    // By its id: a name may be another run's by the time it arrives.
    let selector = RunSelector { run: run.id.clone(), directory: Vec::new() };
    runs.remove(selector).await.map_err(|status| remote.error(status))?;
    if let Ok(id) = RunId::parse(&run.id) {
        Ledger::new(&context.settings.places).forget(&id)?;
        leases.release_run(&id)?;
    }
    let removed = Removed { id: run.id, name: run.name, remote: remote.name().to_owned() };
    told(&removed, context)
}

/// Drops a handoff that no receipt has come for.
fn drop_unsent(entry: &Entry, context: &Context) -> anyhow::Result<Exit> {
    if let Some(held) = Outbox::new(&context.settings.places).hold(entry)? {
        held.discard()?;
    }
    let (id, name, remote) = (entry.id.to_string(), entry.shown_name(), entry.remote.clone());
    told(&Removed { id, name, remote }, context)
}

fn told(removed: &Removed, context: &Context) -> anyhow::Result<Exit> {
    match context.output.format() {
        Format::Json => context.output.json(removed)?,
        Format::Text => context.output.note(format_args!("removed {}", removed.name)),
    }
    Ok(Exit::Done)
}
