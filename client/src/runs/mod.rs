//! Runs as this machine knows them: what was handed off from here, and which run a word means.

mod ledger;
mod select;

pub use ledger::{HandedOff, Ledger, LedgerError};
pub use select::{Selected, select};
