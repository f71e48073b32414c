//! `handoff ls`: the runs of this directory, or all of them.

mod table;

use std::collections::BTreeSet;

use handoff_proto::wire;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::exit::{self, Exit};
use crate::json::RunObject;
use crate::outbox::Outbox;
use crate::output::{Format, Stream};
use crate::runs::Ledger;
use table::{Columns, Table};

/// Longest command on a terminal, in characters: the other columns want room as well.
const COMMAND_MAX: usize = 60;

/// The arguments of `handoff ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// List the runs of all directories and remotes
    #[arg(long)]
    pub all: bool,
}

/// A run and the remote it is on.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    run: wire::RunView,
    remote: String,
}

/// Lists the runs; a remote that cannot be reached is told after the runs of the others.
///
/// # Errors
///
/// Where nothing can be asked at all.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let directory = if args.all { Vec::new() } else { context.root()?.as_bytes().to_vec() };
    let remotes = remotes(context, args.all, &directory)?;
    if remotes.is_empty() {
        context.output.note("no remote is paired yet; `handoff COMMAND` starts with this machine");
    }
    let mut asked = JoinSet::new();
    for name in remotes {
        let (context, directory) = (context.clone(), directory.clone());
        asked.spawn(async move { ask(&context, &name, directory).await });
    }
    let (mut runs, mut failures) = (Vec::new(), Vec::new());
    for answer in asked.join_all().await {
        match answer {
            Ok(listed) => runs.extend(listed),
            Err(error) => failures.push(error),
        }
    }
    runs.extend(unsent(context, args.all, &directory)?);
    runs.sort_by_key(|listed| {
        std::cmp::Reverse((listed.run.created_at_unix_nanos, listed.run.id.clone()))
    });
    show(args.all, runs, context)?;
    let exits = failures.iter().map(|failure| exit::report(failure, &context.output));
    Ok(exits.max_by_key(|exit| exit.code()).unwrap_or(Exit::Done))
}

/// The remote asked for; else all, or those on which runs of this directory may be.
fn remotes(context: &Context, all: bool, root: &[u8]) -> anyhow::Result<BTreeSet<String>> {
    if let Some(name) = context.remote_asked_for() {
        return Ok(BTreeSet::from([name.to_owned()]));
    }
    let known = || context.settings.remotes().map(|(name, _)| name.to_owned());
    let default = match context.settings.default_remote() {
        Some(default) if !all => default.to_owned(),
        Some(_) | None => return Ok(known().collect()),
    };
    let used: BTreeSet<String> = Ledger::new(&context.settings.places)
        .all()?
        .into_iter()
        .filter(|run| run.root.as_bytes() == root)
        .map(|run| run.remote)
        .collect();
    Ok(known().filter(|name| *name == default || used.contains(name)).collect())
}

/// What waits here to be sent.
fn unsent(context: &Context, all: bool, root: &[u8]) -> anyhow::Result<Vec<Listed>> {
    let mut entries = Outbox::new(&context.settings.places).all()?;
    entries.retain(|entry| {
        let asked_for = context.remote_asked_for().is_none_or(|name| entry.remote == name);
        asked_for && (all || entry.root.as_bytes() == root)
    });
    Ok(entries
        .iter()
        .map(|entry| Listed { run: entry.view(), remote: entry.remote.clone() })
        .collect())
}

async fn ask(context: &Context, name: &str, directory: Vec<u8>) -> anyhow::Result<Vec<Listed>> {
    let remote = context.connect_to(name).await?;
    let reply = remote.runs().list(wire::ListRequest { directory }).await;
    let runs = reply.map_err(|status| remote.error(status))?.into_inner().runs;
    Ok(runs.into_iter().map(|run| Listed { run, remote: name.to_owned() }).collect())
}

fn show(all: bool, runs: Vec<Listed>, context: &Context) -> anyhow::Result<()> {
    if context.output.format() == Format::Json {
        let objects: Vec<_> =
            runs.into_iter().map(|listed| RunObject::new(listed.run, &listed.remote)).collect();
        return Ok(context.output.json(&objects)?);
    }
    if runs.is_empty() {
        let where_to = if all { "there are no runs" } else { "this directory has no runs" };
        context.output.note(where_to);
        return Ok(());
    }
    let table = Table {
        columns: if all { Columns::All } else { Columns::OfOneDirectory },
        command_max: if context.output.is_terminal(Stream::Out) { COMMAND_MAX } else { usize::MAX },
        now_unix_nanos: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
    };
    Ok(context.output.text(&table.of(&runs))?)
}
