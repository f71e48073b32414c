//! From what a run left in its workspace to a stored result.
//!
//! ```text
//!   daemon                      fresh jail, same uid, tree read-only, no network
//!   job_spec ──── supervisor ──▶ entry ──▶ collect ─┬─ listing   which paths
//!                                                   ├─ content   their chunks
//!                                                   └─ git       heads, refs, index, one pack
//!   ingest  ◀──── stdout: a bundle ──── write ◀─────┘
//!   notes   ◀──── stderr: what could not be returned, one line each
//! ```
//!
//! Inside the jail everything in the tree is hostile: no git command ever sees the run's git
//! directory as its own, only as an alternate object store. Outside it every byte that the jail
//! wrote is hostile: [`ingest`] stores nothing that the manifest does not name, and no manifest
//! that breaks a rule.

mod arguments;
mod entry;

mod collect;
mod content;
mod git;
mod listing;
mod note;
mod session;
mod write;

mod ingest;
mod job;

pub use collect::{CollectError, Collection, Request, collect};
pub use entry::entry;
pub use ingest::{ExpectedSession, HarvestError, HarvestOutcome, IngestLimits, ingest};
pub use job::job_spec;
pub(crate) use job::{PROCESSES, TIME_LIMIT_SECONDS};
pub use note::notes;
pub use session::SessionPlace;
pub use write::{WriteError, write};
