//! The run: what may happen to it (events), where that leads (states), and the one fold between.
//!
//! ```text
//! queued ──▶ preparing ──▶ running ──▶ verifying ──▶ finished
//!    │           │          ▲   │          ▲            ▲
//!    │           │          │   ├─▶ needs_input ─┐      │
//!    │           │          │   └─▶ paused ──────┤      │
//!    │           │          └────────────────────┘      │
//!    └───────────┴──────── refused, cancelled ──────────┘
//!
//! running, needs_input, paused ── resumed ──▶ preparing
//!                     finished ── another turn ──▶ queued
//! ```
//!
//! The happy path is the upper line: a worker claims the run and prepares its workspace, the
//! command starts, exits, its result is harvested and recorded, the run finishes. A run that is
//! stopped before its command started finishes straight away. `Exited` leads to `verifying` from
//! every state in which a command may live. An agent that was interrupted goes on in another job; a
//! finished run goes on with another turn.
//!
//! State is a function of the events: [`Run::open`] takes the first record, [`Run::apply`] every
//! later one, live and on recovery, in the daemon and in the client. Nothing else changes a state.

mod id;
mod name;

mod event;

mod agent;
mod fold;
mod seats;
mod state;
mod work_time;

mod view;

#[cfg(test)]
mod fold_tests;

pub use agent::AgentAccount;
pub use event::{Contract, Event, EventDecodeError, Exit, HarvestRecord, Heard, Record};
pub use fold::{DENIED_MAX, IllegalEvent, Run, USED_MAX};
pub use id::{RUN_ID_LEN, RunId, RunIdError};
pub use name::{NAME_LEN_MAX, NameError, RunName};
pub use seats::{Note, SEATS_MAX, Seats};
pub use state::{Ending, Outcome, Recorded, State};
pub use work_time::WorkTime;
