//! Supervisors: the processes that own one sandbox each and outlive the daemon.
//!
//! A *job* is a directory. The daemon describes it ([`create`]) and starts its supervisor
//! ([`start`]); from then on the supervisor alone runs the job's steps, keeps their output
//! ([`output`]), ends them when their time is over, and writes down how it ended. A daemon attaches
//! ([`attach`]) to hear what happens, to give it input and to stop it, as often and from as many
//! processes as it likes; whether one is attached makes no difference to the job.
//!
//! ```text
//!             daemon                             job directory            supervisor
//! create ───────────────────────────────▶ job.json ──────────────────▶ reads
//! start ── supervise ─ supervise-detached ── lock, spawned ◀────────── holds, makes once
//! attach ◀─── events, input, stop, kill ── supervisor.sock ─────────▶ serves
//! output::Reader ◀──────────────────────── output ◀─────────────────── appends
//! Remains ◀─────────────────────────────── started.json, exit.json ◀── writes durably
//! ```
//!
//! - A job never runs twice: `spawned` is made, exclusively and durably, before the first process.
//! - Where the daemon has a launcher, that starts the supervisor, which is root then: see `rights`.
//! - A supervisor lives as long as it holds `lock`; no process id is ever trusted.
//! - A supervisor that is killed takes its sandbox with it. Without a last word the job *vanished*.
//! - Where a service manager kills by control group, the daemon's service must spare its children
//!   (systemd: `KillMode=process` and `Delegate=yes`).
//!
//! Knows nothing of runs, users, agents, gRPC or the store, and decides nothing about a run.

pub mod output;

mod disk_limits;
mod disk_quota;
mod job;

mod start;

mod remains;

mod attach;
mod connection;
mod looking;
mod terminal;

mod job_dir;
mod message;
mod process;
mod rights;

pub use self::attach::{Attached, JobEvent, attach, started};
pub use self::connection::AttachError;
pub use self::disk_limits::DiskLimits;
pub use self::disk_quota::{Starter, disk_layer};
pub use self::job::{Ended, Job, JobExit, KILL_GRACE, KILL_GRACE_MS, OutputTotals, Reads, Step};
pub use self::looking::{Looking, Unkept};
pub use self::message::Pace;
pub use self::process::entry;
pub use self::remains::Remains;
pub use self::start::{
    CreateError, DiscardError, StartError, create, discard, start, start_through, start_with,
};
pub use self::terminal::{Found, Terminal};

pub(crate) use self::job_dir::JobDir;
pub(crate) use self::process::run_job;
pub(crate) use self::rights::Rights;
pub(crate) use self::start::{ANSWER_LEN_MAX, Answer};
