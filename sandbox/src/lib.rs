//! Runs one command under a policy and reports what happened.
//!
//! The policy is plain data ([`Spec`]). [`spawn`] starts this same executable again as *stage-0*,
//! which arranges what bubblewrap cannot (the run's own uid, its network, the mounts, the limits)
//! and becomes bubblewrap, which builds the jail and starts this executable a third time as
//! *init*: process 1 of the jail, which checks every promise before it starts the command.
//!
//! ```text
//! caller ── spawn ──▶ stage-0 ══ exec ══▶ bubblewrap ── fork ──▶ init ── fork, exec ──▶ command
//!    ▲                                                             │
//!    └───────────── Ready · Refused · Exited ──────────────────────┘   one socket, JSON lines
//! ```
//!
//! A mandatory promise that cannot be kept is a refusal that names its step; there is no weaker
//! run behind the caller's back. What is in force beyond that is in the [`Isolation`] of `Ready`.
//!
//! What this is not: it is no virtual machine (the command talks to the host's kernel through a
//! filter), it does not limit disk use inside the mounts it is given (whoever starts it can, with
//! [`Subvolume`]), and with [`Network::Host`] it hides nothing that listens on the host's network.
//! What a fenced run may reach is decided by whoever serves its [`Doors`].
//!
//! An ordinary user's runs can have subordinate ids as their host uids; [`give`] then changes whose
//! their files are.
//!
//! This crate never speaks gRPC, runs git, knows agents, starts threads or needs a runtime, and it
//! depends on no other crate of the workspace.

mod spec;

mod isolation;
mod report;

mod probe;
mod running;
mod spawn;

mod entry;
mod stage0;

mod init;

mod bubblewrap;
mod cgroup;
mod channel;
mod doors;
mod handover;
mod rlimit;
mod seccomp;
mod status;
mod subordinate;
mod subvolume;
mod sys;

pub use rustix::process::Signal;

pub use crate::doors::{DOOR_ADDRESS, Door, Doors};
pub use crate::entry::entry;
pub use crate::isolation::{Isolation, Layer, LayerName, LayerState};
pub use crate::probe::probe;
pub use crate::report::{ExitStatus, Refusal, Report, Step};
pub use crate::running::{Ended, Next, ReportError, Running};
pub use crate::spawn::{SpawnError, Stdio, spawn};
pub use crate::spec::{
    Access, Account, HostUser, Limits, Mount, Network, Overlay, Spec, TerminalSize,
};
pub use crate::stage0::INIT_PATH;
pub use crate::subordinate::{Given, SubordinateIds, enter_beside, give};
pub use crate::subvolume::{Quotas, Subvolume};
