//! Which run a word on the command line means, and on which remote it is.

use handoff_proto::wire;

use super::ledger::{HandedOff, Ledger};
use crate::context::Context;
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
/// Where the remote cannot be reached.
pub async fn select(context: &Context, run: Option<&str>) -> anyhow::Result<Selected> {
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

/// An exact id or name beats a prefix; among equals the newest run is taken.
fn find<'a>(
    runs: impl Iterator<Item = &'a HandedOff> + Clone,
    word: &str,
) -> Option<&'a HandedOff> {
    runs.clone()
        .find(|run| run.id.as_str() == word || run.name == word)
        .or_else(|| runs.clone().find(|run| run.id.as_str().starts_with(word)))
}
