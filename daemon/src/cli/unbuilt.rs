//! Commands that are planned: known, so that using one says so.

use std::ffi::OsString;

use clap::Args;
use handoff_proto::problem::{Code, Problem};

/// Show and verify the audit log (not built yet)
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

/// What using one of them leads to.
pub(super) fn problem(command: &str) -> Problem {
    Problem::new(Code::Usage, format!("`handoffd {command}` is not built yet"))
}
