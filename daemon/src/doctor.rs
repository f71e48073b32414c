//! What this machine can do to keep runs in, found out by trying it once.

use std::path::Path;
use std::sync::OnceLock;

use handoff_proto::wire;
use handoff_sandbox::{Layer, LayerName};

use crate::{supervisor, workspace::Sharing};

/// The layers of isolation on this machine. The first call starts a trial jail and blocks; later
/// ones only remember.
#[must_use]
pub fn layers() -> Vec<wire::IsolationLayer> {
    static FOUND: OnceLock<Vec<wire::IsolationLayer>> = OnceLock::new();
    FOUND
        .get_or_init(|| handoff_sandbox::probe().into_iter().map(ours).map(to_wire).collect())
        .clone()
}

/// The same, and how runs get their trees in this state directory. Blocks.
#[must_use]
pub fn found(state: &Path) -> Vec<wire::IsolationLayer> {
    let mut found = layers();
    found.push(Sharing::find(state).report());
    found
}

/// The layer as runs of this daemon have it: their supervisors add what the sandbox alone lacks.
fn ours(layer: Layer) -> Layer {
    match layer.name {
        LayerName::Disk => supervisor::watched(),
        _ => layer,
    }
}

fn to_wire(layer: Layer) -> wire::IsolationLayer {
    let state = layer.state.as_str();
    let detail = match layer.fix {
        Some(fix) => format!("{}; to do: {fix}", layer.detail),
        None => layer.detail,
    };
    wire::IsolationLayer { name: layer.name.as_str().to_owned(), state: state.to_owned(), detail }
}
