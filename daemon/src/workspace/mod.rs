//! What a run finds on this machine: its tree, its home, its tools, its environment.
//!
//! ```text
//! Contract ──▶ Terms ──┬──▶ find_command            refuses before anything is uploaded
//!                      ├──▶ materialise, make_home  fill the run's directory
//!                      └──▶ spec                    one sandbox policy per step
//! ```
//!
//! A contract comes from a client and is checked in one place, [`Terms::parse`]; everything else
//! works with values that are known to be sound. Never starts a process, never speaks to a client,
//! and never shows a run anything of the daemon's own home but toolchains.

mod terms;

mod base;
mod directory;
mod error;
mod layout;
mod owner;

mod beneath;
mod content;
mod given;
mod home;
mod materialise;
mod originals;
mod remove;
mod session;
mod sharing;
mod snapshots;
mod trees;
mod view;

mod caches;
mod environment;
mod mounts;
mod spec;

mod find_command;
mod tools;

pub use base::{Base, Rules};
pub use directory::Bound;
pub use error::WorkspaceError;
pub use find_command::{CommandMissing, find_command};
pub use given::{give, remove_run, take_back};
pub use home::make_home;
pub use layout::{JobKind, Layout};
pub use materialise::{materialise, write_base};
pub use originals::{OriginalIds, Originals};
pub use owner::Owner;
pub use remove::{RemoveError, remove};
pub use session::make_agent_directory;
pub use sharing::Sharing;
pub use snapshots::{Snapshot, Snapshots};
pub use spec::{AgentStart, PolicyError, PolicyInput, Purpose, spec};
pub use terms::{Account, Terms, TermsError};
pub use tools::{LeftOut, Surroundings, Tools, ToolsError};
pub use trees::{Tree, Trees};
pub use view::View;

pub(crate) use mounts::{free_path, mount, targets_in_tree};
pub(crate) use spec::{
    HOSTNAME, account, caches_directory, limits, overlay, real_layout, required_layers, step_mounts,
};
