//! The daemon's doors: the gRPC server for paired devices, and the admin socket for the operator.
//!
//! Wire types end here. Every service but Enrollment is reached by known devices only; that is
//! decided in one place (`server` asks `identity`) before a service sees the call.

pub mod server;

pub mod identity;

pub mod enrollment;

pub mod admin;

pub mod status;

pub mod runs;

mod attach;
mod content;
mod handoff;
mod logs;
mod watch;
