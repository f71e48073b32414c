//! Turns events of runs into desktop notifications, also those that happened while nobody looked.
//!
//! ```text
//! service ──▶ follower (one a remote) ──▶ notice (pure) ──▶ desktop ──▶ cursor (on disk)
//!        └──▶ sender (one a remote) ──▶ outbox
//! ```
//!
//! It sends what waits in the outbox, else only reads from remotes, and never starts a daemon; what
//! it knows is its cursors.

pub mod cursor;

mod notice;

mod desktop;
mod follower;
mod sender;

mod lock;
mod service;
mod voice;
mod wake;

#[cfg(target_os = "linux")]
pub mod install;

use crate::settings::Places;

pub use desktop::{DesktopError, service as desktop_service};
pub use lock::Lock;
pub use service::{Error, run};

/// Whether a notifier of this user runs on this machine.
#[must_use]
pub fn is_running(places: &Places) -> bool {
    Lock::new(places).is_held()
}
