//! What an error means for a handoff that was not sent.

use std::error::Error;

use handoff_proto::problem::Code;

use super::entry::Standing;
use crate::exit::chain_text;
use crate::{local, remote};

/// Where a handoff stands after an error: whether trying again later may help.
#[must_use]
pub fn fate(error: &anyhow::Error) -> Standing {
    let why = chain_text(error.as_ref());
    if error.chain().any(may_pass) { Standing::Waiting { why } } else { Standing::Stopped { why } }
}

/// Whether the remote is away, or has a trouble of its own, such as a full disk.
fn may_pass(cause: &(dyn Error + 'static)) -> bool {
    let failure = cause
        .downcast_ref::<remote::Error>()
        .or_else(|| cause.downcast_ref::<Box<remote::Error>>().map(|boxed| &**boxed));
    match failure {
        Some(failure) => failure.is_transient() || failure.problem_code() == Some(Code::Failed),
        None => cause.is::<local::Error>(),
    }
}
