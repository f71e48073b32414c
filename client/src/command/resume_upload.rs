//! `handoff resume-upload`: sends what could not be sent.

use handoff_proto::wire::{RunSelector, RunView};

use crate::context::Context;
use crate::exit::{self, Exit};
use crate::json::RunObject;
use crate::outbox::{Entry, Outbox, OutboxError, finish};
use crate::output::Format;
use crate::runs::{HandedOff, Ledger, ambiguous, meant};

/// The arguments of `handoff resume-upload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name; left out, all of this directory that were not sent
    pub run: Option<String>,
}

/// Sends them, the oldest first, and prints their ids.
///
/// # Errors
///
/// Where there is no such run; of several that cannot be sent the last one is the error, the others
/// are reported.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let mut entries = Outbox::new(&context.settings.places).all()?;
    entries.retain(|entry| context.remote_asked_for().is_none_or(|name| entry.remote == name));
    match &args.run {
        None => {
            let root = context.root()?;
            entries.retain(|entry| entry.root == root);
            if entries.is_empty() {
                context.output.note("everything of this directory was sent");
            }
        }
        Some(word) => {
            entries = meant(entries, word);
            if entries.len() > 1 {
                let ids: Vec<_> = entries.iter().map(|entry| entry.id.to_string()).collect();
                return Err(ambiguous(word, &ids).into());
            }
            if entries.is_empty() {
                return sent_already(word, context).await;
            }
        }
    }
    let mut failure = None;
    for entry in entries.iter().rev() {
        if let Err(error) = resume(entry, context).await
            && let Some(earlier) = failure.replace(error)
        {
            // Told here, because only one error can be returned.
            exit::report(&earlier, &context.output);
        }
    }
    failure.map_or(Ok(Exit::Done), Err)
}

async fn resume(entry: &Entry, context: &Context) -> anyhow::Result<()> {
    let Some(held) = Outbox::new(&context.settings.places).hold(entry)? else {
        // Somebody was faster.
        context.output.note(format_args!("run {} was sent already", entry.shown_name()));
        return Ok(());
    };
    let connect = || context.connect_to(&entry.remote);
    let delivered = finish(held, &context.settings, &context.output, connect).await?;
    let (run, remote) = (delivered.receipt.run, delivered.entry.remote);
    let name = run.name.clone();
    context.output.note(format_args!("run {name} is on {remote}: it is safe to disconnect"));
    print(run, &remote, context)
}

/// The notifier may have been faster.
async fn sent_already(word: &str, context: &Context) -> anyhow::Result<Exit> {
    let runs = Ledger::new(&context.settings.places).all()?;
    let is_it = |run: &&HandedOff| run.name == word || run.id.as_str() == word;
    let Some(known) = runs.iter().find(is_it) else {
        let message = format!("no run {word:?} waits here to be sent");
        return Err(OutboxError::Selection { message, ambiguous: false }.into());
    };
    let remote = context.connect_to(&known.remote).await?;
    let selector = RunSelector { run: known.id.to_string(), directory: Vec::new() };
    let run = remote.runs().show(selector).await.map_err(|status| remote.error(status))?;
    context.output.note(format_args!("run {word} is on {} already", known.remote));
    print(run.into_inner(), &known.remote, context)?;
    Ok(Exit::Done)
}

/// As handing it off would have.
fn print(run: RunView, remote: &str, context: &Context) -> anyhow::Result<()> {
    match context.output.format() {
        Format::Text => context.output.line(&run.id)?,
        Format::Json => context.output.json(&RunObject::new(run, remote))?,
    }
    Ok(())
}
