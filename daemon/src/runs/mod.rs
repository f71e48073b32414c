//! Runs: which there are, who drives them, what became of them.
//!
//! ```text
//!  rpc ─create, say, stop, remove▶ Registry ──offer──▶ queue ──claim──▶ Admission
//!   ▲                               │ one Live per run                   │ slot
//!   │ watch, logs                   ▼                                    ▼
//!   └────────── published ◀── Journal ◀── record ── driver (one task per run)
//! ```
//!
//! Exactly one task changes a run: its driver. It decides, records (the log is durable before
//! anything else happens), applies the record with the one fold, publishes the new state, and only
//! then acts. After a restart the same driver starts from the folded log: recovery is not a second
//! implementation. Knows nothing of gRPC or certificates.

mod live;
mod outcome;
mod presence;

mod journal;

mod admission;
mod agent;
mod answer;
mod collect;
mod error;
mod host_uids;
mod keyboard;
mod recovery;
mod registry;
mod select;
mod shared;
mod sitting;
mod talk;

mod driver;

pub use collect::{Collect, CollectError, Collected, NeededError, Storing};
pub use error::{
    AgentError, AnswerError, CreateError, RegistryError, RemoveError, RoomError, SayError,
    SitError, StopError,
};
pub use host_uids::HostUids;
pub use live::{Live, OutputEnd, Request};
pub use registry::{NewRun, Registry};
pub use select::{SelectError, Selector};
pub use shared::RunSettings;

pub(crate) use keyboard::Manners;
pub(crate) use sitting::{Sitting, Wish};
