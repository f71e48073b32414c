//! Which run a word on the command line means, and on which remote it is.

use handoff_proto::wire;

use super::ledger::{HandedOff, Ledger};
use crate::context::Context;
use crate::outbox::{Entry, Outbox, OutboxError};
use crate::remote::Remote;

/// A run to ask a remote about.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The remote.
    pub remote: Remote,
    /// What to send it: it alone decides whether the run exists.
    pub selector: wire::RunSelector,
}

/// Finds the remote of a run: the one named by `--remote`, else the one that it was handed off to
/// from here, else the default one. Without a word the newest run of this directory is meant.
///
/// # Errors
///
/// Where the remote cannot be reached, or the run is not there yet.
pub async fn select(context: &Context, run: Option<&str>) -> anyhow::Result<Selected> {
    if let Some(entry) = find_unsent(context, run)? {
        let (name, remote) = (entry.shown_name(), entry.remote);
        return Err(OutboxError::StillSending { name, remote }.into());
    }
    let root = match run {
        Some(_) => None,
        None => Some(context.root()?),
    };
    let known = match context.remote_asked_for() {
        Some(_) => None,
        None => {
            let runs = Ledger::new(&context.settings.places).all()?;
            let here = runs.iter().filter(|known| context.settings.remote(&known.remote).is_ok());
            match (run, &root) {
                (Some(word), _) => find(here, word),
                (None, Some(root)) => here.into_iter().find(|known| known.root == *root),
                (None, None) => None,
            }
            .map(|known| known.remote.clone())
        }
    };
    let remote = match known {
        Some(name) => context.connect_to(&name).await?,
        None => context.connect().await?,
    };
    let selector = wire::RunSelector {
        run: run.unwrap_or_default().to_owned(),
        directory: root.map(|root| root.as_bytes().to_vec()).unwrap_or_default(),
    };
    Ok(Selected { remote, selector })
}

/// Finds the handoff that a word means, if no receipt has come for that. Without a word the newest
/// run of this directory is meant.
///
/// # Errors
///
/// Where several are meant.
pub fn find_unsent(context: &Context, run: Option<&str>) -> anyhow::Result<Option<Entry>> {
    let mut entries = Outbox::new(&context.settings.places).all()?;
    entries.retain(|entry| context.remote_asked_for().is_none_or(|name| entry.remote == name));
    if entries.is_empty() {
        return Ok(None);
    }
    let runs = Ledger::new(&context.settings.places).all()?;
    let Some(word) = run else {
        let root = context.root()?;
        let newest = runs.iter().find(|run| run.root == root).map(|run| run.at_unix_nanos);
        entries.retain(|entry| entry.root == root && Some(entry.at_unix_nanos) > newest);
        return Ok(entries.into_iter().next());
    };
    let entries = meant(entries, word);
    let exact = entries.iter().any(|entry| is_called(entry, word));
    let rivals = runs.iter().filter(|run| {
        let same = run.id.as_str() == word || run.name == word;
        same || (!exact && run.id.as_str().starts_with(word))
    });
    let ids = entries.iter().map(|entry| &entry.id).chain(rivals.map(|run| &run.id));
    let ids: Vec<_> = ids.map(ToString::to_string).collect();
    if entries.is_empty() || ids.len() == 1 {
        return Ok(entries.into_iter().next());
    }
    Err(ambiguous(word, &ids).into())
}

/// The entries that a word means: by id or name, else by the beginning of the id.
#[must_use]
pub fn meant(mut entries: Vec<Entry>, word: &str) -> Vec<Entry> {
    let exact = entries.iter().any(|entry| is_called(entry, word));
    entries.retain(|entry| match exact {
        true => is_called(entry, word),
        false => !word.is_empty() && entry.id.as_str().starts_with(word),
    });
    entries
}

/// What to say where a word means several.
#[must_use]
pub fn ambiguous(word: &str, ids: &[String]) -> OutboxError {
    let message = format!("{word:?} could be any of: {}", ids.join(", "));
    OutboxError::Selection { message, ambiguous: true }
}

fn is_called(entry: &Entry, word: &str) -> bool {
    entry.id.as_str() == word || entry.shown_name() == word
}

/// An exact id or name beats a prefix; among equals the newest run is taken.
fn find<'a>(
    runs: impl Iterator<Item = &'a HandedOff> + Clone,
    word: &str,
) -> Option<&'a HandedOff> {
    runs.clone()
        .find(|run| run.id.as_str() == word || run.name == word)
        .or_else(|| runs.clone().find(|run| run.id.as_str().starts_with(word)))
}
