//! What holds a run in: the layers, and whether each is in force. Says; never enforces.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Lists the layers around one run, each with its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Every layer that this version knows, mandatory ones first.
    pub layers: Vec<Layer>,
}

impl Isolation {
    /// Returns the layer of that name.
    #[must_use]
    pub fn layer(&self, name: LayerName) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.name == name)
    }

    /// Tells whether the layer of that name is fully in force.
    #[must_use]
    pub fn in_force(&self, name: LayerName) -> bool {
        self.layer(name).is_some_and(|layer| layer.state == LayerState::InForce)
    }
}

/// Describes one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Which layer.
    pub name: LayerName,
    /// Whether it holds.
    pub state: LayerState,
    /// How it is made, or why it is missing.
    pub detail: String,
    /// What to do about a layer that is not in force; only a probe fills this in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Layer {
    pub(crate) fn new(name: LayerName, state: LayerState, detail: impl Into<String>) -> Self {
        Self { name, state, detail: detail.into(), fix: None }
    }
}

/// Names a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerName {
    /// Own user, mount, process, IPC and host name spaces. Mandatory.
    Namespaces,
    /// No capability in any set. Mandatory.
    Capabilities,
    /// Executing a file can never raise privileges. Mandatory.
    NoNewPrivs,
    /// The system call filter. Mandatory.
    Seccomp,
    /// A host uid that no other run and no daemon has. That it is not 0 is mandatory.
    Uid,
    /// The memory limit.
    Memory,
    /// The limit on processes.
    Processes,
    /// No network but loopback, and no way out but through the caller's doors.
    Network,
    /// Landlock rules on top of the mounts.
    Landlock,
    /// The limit on disk use.
    Disk,
}

impl LayerName {
    /// Every layer, mandatory ones first.
    pub const ALL: [Self; 10] = [
        Self::Namespaces,
        Self::Capabilities,
        Self::NoNewPrivs,
        Self::Seccomp,
        Self::Uid,
        Self::Memory,
        Self::Processes,
        Self::Network,
        Self::Landlock,
        Self::Disk,
    ];

    /// The layers without which nothing runs.
    pub const MANDATORY: [Self; 4] =
        [Self::Namespaces, Self::Capabilities, Self::NoNewPrivs, Self::Seccomp];

    /// Returns the name as it is written in JSON and in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no_new_privs",
            Self::Seccomp => "seccomp",
            Self::Uid => "uid",
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Network => "network",
            Self::Landlock => "landlock",
            Self::Disk => "disk",
        }
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells whether a layer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// It holds, and was checked from the inside or by the kernel's answer.
    InForce,
    /// It holds in a weaker form, which the detail names.
    Partial,
    /// It does not hold.
    Absent,
}

impl LayerState {
    /// The state's name, as it is stored, sent and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Partial => "partial",
            Self::Absent => "absent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_the_same_everywhere() {
        for name in LayerName::ALL {
            let json = serde_json::to_string(&name).expect("serialise");
            assert_eq!(json, format!("\"{name}\""));
        }
    }
}
