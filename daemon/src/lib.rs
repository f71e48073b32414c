//! handoffd: takes handed-off runs, drives them in sandboxes and keeps their results.
//!
//! Calls go one way: `rpc` → `runs` → `supervisor`, with `store` beneath. Nothing that comes out
//! of a sandbox is trusted here.

pub mod cli;

pub mod rpc;

pub mod doctor;

pub mod config;

pub mod store;

pub mod pki;

pub mod runs;

pub mod workspace;

mod agents;

pub mod credentials;

mod sign_in;

pub mod egress;

pub mod supervisor;

pub mod launcher;

pub mod harvest;
