//! `handoff say`: a word to a run's agent, at once or as its next turn.

use handoff_proto::wire::SayRequest;
use uuid::Uuid;

use crate::agents::lease;
use crate::context::Context;
use crate::exit::{Exit, chain_text};
use crate::json::RunObject;
use crate::output::Format;
use crate::runs::{Selected, select};

/// The arguments of `handoff say`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name
    pub run: String,
    /// What to say
    pub text: String,
}

/// Says it; returns when that is on record.
///
/// # Errors
///
/// Where the run has no agent, or takes nothing right now.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let Selected { remote, selector } = select(context, Some(&args.run)).await?;
    let id = Uuid::new_v4().to_string();
    let request = SayRequest { run: Some(selector), id, text: args.text };
    let said = remote.runs().say(request).await;
    let run = said.map_err(|status| remote.error(status))?.into_inner();
    if let Err(error) = lease::hold_again(&context.settings.places, &run, remote.name()) {
        let why = chain_text(&error);
        context.output.note(format_args!("warning: the session can be advanced here, too: {why}"));
    }
    match context.output.format() {
        Format::Json => context.output.json(&RunObject::new(run, remote.name()))?,
        Format::Text if run.state == "queued" => {
            context.output.note(format_args!("{} goes on with its next turn", run.name));
        }
        Format::Text => context.output.note(format_args!("{} is told", run.name)),
    }
    Ok(Exit::Done)
}
