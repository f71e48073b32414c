//! Brings the result of a run back: decide, record, apply.
//!
//! ```text
//! unchanged ─▶ plan ─▶ review ─▶ chunks ─▶ prepare ─▶ journal ─▶ apply (tree, repository)
//!                 └─▶ elsewhere                          └──────▶ undo
//! ```
//!
//! `plan` and `review` are pure. Nothing that a result says is trusted: paths were parsed, objects
//! are checked by git in a quarantine, and nothing is ever checked out, configured or run.

pub mod pairs;
pub mod unchanged;

pub mod local;
pub mod plan;
pub mod survey;

pub mod diff;
pub mod review;

pub mod chunks;
pub mod fetch;

pub mod git;
pub mod journal;

pub mod apply;
pub mod prepare;
pub mod repository;
pub mod root;
pub mod tree;

pub mod elsewhere;
pub mod undo;

pub mod report;
pub mod restorable;
pub mod returned;
pub mod verdict;

mod heads;
mod receive;
mod strangers;
