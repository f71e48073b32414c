//! What the tests that cross a crate share: worlds of their own, jails, desktops.
//!
//! A missing prerequisite is a panic, never a skip.

pub mod agent;
pub mod begun;
pub mod bench;
pub mod desktop;
pub mod disk;
pub mod escape;
pub mod fenced;
mod http;
pub mod interface;
pub mod launched;
pub mod mcp;
pub mod model;
pub mod process;
pub mod program;
pub mod remote;
pub mod repository;
pub mod screen;
pub mod service;
pub mod sessions;
pub mod ssh;
pub mod subids;
pub mod terminal;
pub mod web;
pub mod wire;
pub mod world;
