//! What client and daemon must agree on byte for byte or meaning for meaning.
//!
//! Admission rule: a module belongs here only if both sides would otherwise have to write it
//! twice and a difference between the two would lose or expose data. No sockets, no clocks, no
//! configuration, no random numbers.

pub mod path;

pub mod chunk;

pub mod manifest;

pub mod bundle;

pub mod tree;

pub mod frames;

pub mod run;

pub mod invitation;

pub mod problem;

pub mod wire;
