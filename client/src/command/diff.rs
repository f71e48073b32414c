//! `handoff diff`: what a run changed.

use std::collections::HashMap;

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{ChangeKind, Entry, Kind};
use serde::Serialize;

use super::pull::ending;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Format, Stream, TerminalFilter, WriteError};
use crate::pull::chunks::Chunks;
use crate::pull::diff::{Changed, Colour, Lines, changes, count, lay_out, unified};
use crate::pull::fetch;
use crate::pull::plan::check_result;
use crate::pull::returned::{Returned, returned};
use crate::pull::root::Root;
use crate::remote::Remote;
use crate::runs::{Ledger, Selected, select};
use crate::settings::create_private_directory;

/// The arguments of `handoff diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name; left out, the newest run of this directory
    pub run: Option<String>,
    /// Show only how much changed in each file
    #[arg(long)]
    pub stat: bool,
}

/// What a run changed, for programs.
#[derive(Debug, Serialize)]
struct Difference {
    run: String,
    name: String,
    changes: Vec<Change>,
}

/// One path.
#[derive(Debug, Serialize)]
struct Change {
    path: String,
    /// `added`, `removed`, `modified` or `type_changed`.
    change: &'static str,
    /// As in git: type and permission bits in octal digits; null if it was or is not there.
    old_mode: Option<String>,
    new_mode: Option<String>,
    /// In bytes; null if it was or is not there.
    old_size: Option<u64>,
    new_size: Option<u64>,
    /// Lines; null where the content is no text.
    added_lines: Option<u64>,
    removed_lines: Option<u64>,
}

/// Shows what the run changed.
///
/// # Errors
///
/// Where there is no such run or it has no result.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    ending::of(diff(args, context).await, context)
}

async fn diff(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let Selected { remote, selector } = select(context, args.run.as_deref()).await?;
    let run =
        remote.runs().show(selector).await.map_err(|status| remote.error(status))?.into_inner();
    let ledger = Ledger::new(&context.settings.places);
    let returned = returned(&remote, run, &ledger).await?;
    check_result(&returned.base, &returned.result)?;
    let changes = changes(&returned.base, &returned.result);
    let state = &context.settings.places.state;
    create_private_directory(state)?;
    let chunks = contents(&remote, &returned, &changes, context).await?;
    let directory = tempfile::Builder::new().prefix("diff-").tempdir_in(state)?;
    lay_out(directory.path(), &changes, &chunks)?;
    match (context.output.format(), args.stat) {
        (Format::Json, _) => {
            let counts = count(directory.path())?;
            let change = |changed: &Changed| describe(changed, counts.get(&changed.path).copied());
            context.output.json(&Difference {
                changes: changes.iter().map(change).collect(),
                run: returned.run.id,
                name: returned.run.name,
            })?;
        }
        (Format::Text, true) => {
            let counts = count(directory.path())?;
            for changed in &changes {
                let lines = counts.get(&changed.path).copied().unwrap_or(Some((0, 0)));
                context.output.line(stat_line(changed, lines))?;
            }
            context.output.line(sum_line(&changes, counts.values().copied()))?;
        }
        (Format::Text, false) => print(directory.path(), context)?,
    }
    Ok(Exit::Done)
}

/// Both sides of what differs: what the local tree still has need not travel.
async fn contents(
    remote: &Remote,
    returned: &Returned,
    changes: &[Changed],
    context: &Context,
) -> anyhow::Result<Chunks> {
    let sides = || changes.iter().flat_map(|changed| [&changed.before, &changed.after]).flatten();
    let wanted: HashMap<ChunkId, u32> =
        sides().flat_map(Entry::chunks).map(|chunk| (chunk.id, chunk.size)).collect();
    let mut chunks = Chunks::new(&context.settings.places.state)?;
    if let Ok(root) = Root::open(&returned.base.root) {
        chunks.add_local(root.handle(), sides(), &wanted)?;
    }
    let lacking = wanted.iter().filter(|(id, _)| !chunks.has(id));
    let bytes = lacking.map(|(_, size)| u64::from(*size)).sum();
    let progress = context.output.progress("fetching", bytes);
    let on_bytes = move |arrived| progress.set(arrived);
    Ok(fetch::contents(remote, &returned.run.id, &wanted, chunks, on_bytes).await?)
}

/// Raw to a program; to a terminal with colours, and nothing else that it would act upon.
fn print(directory: &std::path::Path, context: &Context) -> anyhow::Result<()> {
    let output = &context.output;
    let mut failure: Option<WriteError> = None;
    let is_terminal = output.is_terminal(Stream::Out);
    let mut filter = TerminalFilter::default();
    let colour = if is_terminal { Colour::Wanted } else { Colour::Unwanted };
    let compared = unified(directory, colour, &mut |part| {
        let passed = if is_terminal { filter.pass(part).into_bytes() } else { part.to_vec() };
        output.bytes(Stream::Out, &passed).map_err(|error| {
            failure = Some(error);
            std::io::ErrorKind::BrokenPipe.into()
        })
    });
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    compared?;
    Ok(output.bytes(Stream::Out, filter.finish().as_bytes())?)
}

fn describe(changed: &Changed, lines: Option<Lines>) -> Change {
    let Changed { before, after, .. } = changed;
    // git lists nothing where only a mode changes that it does not know.
    let lines = lines.unwrap_or(Some((0, 0)));
    Change {
        path: String::from_utf8_lossy(changed.path.as_bytes()).into_owned(),
        change: word(changed),
        old_mode: before.as_ref().map(mode),
        new_mode: after.as_ref().map(mode),
        old_size: before.as_ref().map(size),
        new_size: after.as_ref().map(size),
        added_lines: lines.map(|(added, _)| added),
        removed_lines: lines.map(|(_, removed)| removed),
    }
}

fn word(changed: &Changed) -> &'static str {
    match (changed.kind, &changed.before, &changed.after) {
        (ChangeKind::Added, _, _) | (_, None, _) => "added",
        (ChangeKind::Removed, _, _) | (_, _, None) => "removed",
        (ChangeKind::Modified, Some(old), Some(new)) => {
            let is_link = |entry: &Entry| matches!(entry.kind, Kind::Symlink { .. });
            if is_link(old) == is_link(new) { "modified" } else { "type_changed" }
        }
    }
}

fn mode(entry: &Entry) -> String {
    match entry.kind {
        Kind::File { .. } => format!("{:06o}", 0o100_000 | entry.mode),
        Kind::Symlink { .. } => "120000".to_owned(),
        Kind::Directory => "040000".to_owned(),
    }
}

fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File { size, .. } => *size,
        Kind::Symlink { target } => target.len() as u64,
        Kind::Directory => 0,
    }
}

fn stat_line(changed: &Changed, lines: Lines) -> String {
    let path = &changed.path;
    let sign = match word(changed) {
        "added" => 'A',
        "removed" => 'D',
        "type_changed" => 'T',
        _ => 'M',
    };
    match lines {
        Some((added, removed)) => format!("{sign} {path} | +{added} -{removed}"),
        None => {
            let bytes = |entry: &Option<Entry>| entry.as_ref().map_or(0, size);
            let (old, new) = (bytes(&changed.before), bytes(&changed.after));
            format!("{sign} {path} | binary, {old} -> {new} bytes")
        }
    }
}

fn sum_line(changes: &[Changed], lines: impl Iterator<Item = Lines>) -> String {
    let (added, removed) =
        lines.flatten().fold((0, 0), |(added, removed), (a, r)| (added + a, removed + r));
    let files = if changes.len() == 1 { "1 file" } else { &format!("{} files", changes.len()) };
    format!("{files} changed, +{added} -{removed} lines")
}
