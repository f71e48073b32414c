//! Runs as this machine knows them: what was handed off from here, and which run a word means.

mod ledger;
mod select;
mod stored_path;

pub use ledger::{HandedOff, Ledger, LedgerError, capture_options};
pub use select::{Selected, ambiguous, find_unsent, meant, select};
pub use stored_path::StoredPath;
