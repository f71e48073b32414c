//! What this machine can do to keep runs in, found out by trying it once.

use std::path::Path;
use std::sync::OnceLock;

use handoff_proto::wire;
use handoff_sandbox::{Layer, LayerName, LayerState};

use crate::agents::Kind;
use crate::launcher::{self, Request};
use crate::runs::{HostUids, Registry};
use crate::supervisor::{self, Answer, Starter};
use crate::workspace::{Sharing, Tools};

/// What to do where no launcher answers.
const LAUNCHER_FIX: &str = "systemctl enable --now handoffd-launcher.socket";

/// What to do where files in the state directory cannot be given to runs.
const STATE_FIX: &str = "keep the state directory on a local file system, in no setgid directory \
                         (chmod g-s, chgrp to the user's own group)";

/// The layers of isolation for runs in this state directory; with the socket of a launcher, as that
/// finds them. The first call starts a trial jail and blocks; later ones only remember, but for what
/// the disk can do, which is looked at each time.
#[must_use]
pub fn layers(launcher: Option<&Path>, state: &Path) -> Vec<wire::IsolationLayer> {
    let starter = launcher.map_or(Starter::Daemon, |_| Starter::Launcher);
    let mut found = tried(launcher, state);
    if let Some(disk) = found.iter_mut().find(|layer| layer.name == LayerName::Disk.as_str()) {
        // Supervisors add what the sandbox alone lacks.
        *disk = to_wire(supervisor::disk_layer(state, starter));
    }
    found
}

/// What to do where an agent is not found; who hands off plain commands needs none.
const AGENT_FIX: &str = "install it for everybody, or name its directory in `[tools] paths`, if \
                         sessions of it are to go on here";

/// What a trial jail has, and a run in this state directory, which is the process's only one.
fn tried(launcher: Option<&Path>, state: &Path) -> Vec<wire::IsolationLayer> {
    static FOUND: OnceLock<Vec<wire::IsolationLayer>> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return found.clone();
    }
    let found = match launcher {
        None => {
            let mut layers = handoff_sandbox::probe();
            without_uid(&mut layers, &HostUids::find(None, state));
            layers.into_iter().map(to_wire).collect()
        }
        Some(socket) => match through(socket) {
            Ok(found) => found,
            // Not remembered: it may be started at any time.
            Err(why) => {
                let detail = format!("no run can be started: {why}; to do: {LAUNCHER_FIX}");
                return vec![line("launcher", "absent", detail)];
            }
        },
    };
    FOUND.get_or_init(|| found).clone()
}

/// Says of the layer of uids that runs have none, if they cannot although a trial jail can.
fn without_uid(layers: &mut [Layer], uids: &HostUids) {
    let layer = layers.iter_mut().find(|layer| layer.name == LayerName::Uid);
    if let (Some(layer), Some(why)) = (layer, uids.why_none())
        && layer.state == LayerState::InForce
    {
        layer.state = LayerState::Partial;
        layer.detail = format!("same uid as the daemon: {why}");
        layer.fix = Some(STATE_FIX.to_owned());
    }
}

/// The same, and how runs get their trees in this state directory. Blocks.
#[must_use]
pub fn found(launcher: Option<&Path>, state: &Path) -> Vec<wire::IsolationLayer> {
    let mut found = layers(launcher, state);
    found.push(Sharing::find(state).report());
    found
}

/// What the launcher finds.
fn through(socket: &Path) -> Result<Vec<wire::IsolationLayer>, String> {
    let answer = launcher::ask(socket, &Request::Probe).map_err(|error| error.to_string())?;
    if let Ok(Answer::Failed(why)) = serde_json::from_slice(&answer) {
        return Err(why);
    }
    let layers: Vec<Layer> = serde_json::from_slice(&answer)
        .map_err(|_| "its answer is not that of a launcher of this version".to_owned())?;
    let detail = format!("{} starts the supervisors", socket.display());
    let layers = layers.into_iter().map(to_wire);
    Ok(layers.chain([line("launcher", "in-force", detail)]).collect())
}

/// What is not shown to runs, as a line of the doctor's; none if that is nothing.
#[must_use]
pub fn tools(tools: &Tools) -> Option<wire::IsolationLayer> {
    let left_out: Vec<String> = tools.left_out().iter().map(ToString::to_string).collect();
    (!left_out.is_empty()).then(|| line("tools", "partial", left_out.join("; ")))
}

/// Which agents start here, one line each. Blocks.
#[must_use]
pub fn agents(registry: &Registry) -> Vec<wire::IsolationLayer> {
    let each = Kind::ALL.into_iter().map(|kind| {
        let program = registry.settings().config.agent_program(kind).to_owned();
        let (state, detail) = match registry.agent_version(kind) {
            Some(Ok(version)) => ("in-force", format!("{program} starts: {version}")),
            Some(Err(why)) => ("absent", format!("{program} does not start: {why}")),
            None => {
                ("absent", format!("{program} is not where runs find programs; to do: {AGENT_FIX}"))
            }
        };
        line(&format!("agent {}", kind.name()), state, detail)
    });
    each.collect()
}

fn to_wire(layer: Layer) -> wire::IsolationLayer {
    let detail = match layer.fix {
        Some(fix) => format!("{}; to do: {fix}", layer.detail),
        None => layer.detail,
    };
    line(layer.name.as_str(), layer.state.as_str(), detail)
}

fn line(name: &str, state: &str, detail: String) -> wire::IsolationLayer {
    wire::IsolationLayer { name: name.to_owned(), state: state.to_owned(), detail }
}
