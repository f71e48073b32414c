//! The launcher: a small process that is root and starts supervisors for a daemon that is not.
//!
//! ```text
//! serve (user handoffd)             launch (root)              launched (root)
//! job.json ─────────────────────────────────────────────────▶ vet: what the operator allows
//! ask ── "abcdefghij command\n" ──▶ who asks, one line ─exec─▶ uid of its own, supervisor
//!  ▲                                                                   │
//!  └───────────────────── its one-line answer ─────────────────────────┘
//! ```
//!
//! Whoever owns the daemon's state directory may ask, and is believed in nothing but which run it
//! is about: no path, argument or policy comes over the socket. The state directory is taken for
//! hostile. It is opened without following links and touched with its owner's rights; what a job
//! wants is compared with the settings, which only root can change; and the uid that a run has on
//! the host is chosen here.
//!
//! Never speaks gRPC, never links to a runtime, starts no thread, and reads nothing of what a run
//! wrote.

mod request;

mod ask;

mod serve;

mod launched;
mod vet;

mod place;
mod state;
mod uids;

pub use self::ask::ask;
pub use self::launched::entry;
pub use self::request::{Request, RequestError};
pub use self::serve::{LaunchError, Launcher};
