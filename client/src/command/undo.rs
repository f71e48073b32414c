//! `handoff undo`: restores the state before the last pull.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;

use super::pull::ending;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Format;
use crate::pull::apply::ApplyError;
use crate::pull::journal::{Journal, Phase, Place};
use crate::pull::root::Root;
use crate::pull::undo::{Undone, undo};

/// The arguments of `handoff undo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// What was undone, for programs.
#[derive(Debug, Serialize)]
struct Restored {
    run: String,
    name: String,
    path: String,
    restored: usize,
}

/// Restores the state before the last pull in this directory.
///
/// # Errors
///
/// Where there was none, or things changed since; nothing has changed then.
pub async fn run(_args: Args, context: &Context) -> anyhow::Result<Exit> {
    // Not to be interrupted: Ctrl-C comes through afterwards.
    ending::of(tokio::task::block_in_place(|| restore(context)), context)
}

fn restore(context: &Context) -> anyhow::Result<Exit> {
    let path = context.root()?;
    let root = Root::open(&path)?;
    let journal = Journal::open(&context.settings.places.state, &path).map_err(ApplyError::from)?;
    let Undone { run, name, place, phase, paths } = undo(&root, &journal, &mut |_| {})?;
    let at = match &place {
        Place::InPlace => root.path(),
        Place::Elsewhere { path, .. } => Path::new(OsStr::from_bytes(&path.0)),
    };
    let at = at.to_string_lossy().into_owned();
    match context.output.format() {
        Format::Json => context.output.json(&Restored { run, name, path: at, restored: paths })?,
        Format::Text => context.output.note(match (&place, phase) {
            (Place::InPlace, Phase::Done) => {
                format!("took back the pull of {name}: {at} is as before")
            }
            (Place::InPlace, Phase::Unfinished) => {
                format!("put back what a pull of {name} had begun: {at} is as before")
            }
            (Place::Elsewhere { .. }, _) => format!("removed {at}, which had the result of {name}"),
        }),
    }
    Ok(Exit::Done)
}
