//! The system call filters: three small programs that bubblewrap loads just before init. They
//! close what namespaces and the lack of capabilities leave open; everything else is allowed.

mod denied;
mod program;

use std::os::fd::OwnedFd;

use crate::handover;
use crate::report::{Refusal, Refuse as _, Step};

/// How many filters init must find in force.
pub(crate) const COUNT: usize = 3;

/// Compiles the filters into memory files, in the form that bubblewrap reads.
pub(crate) fn programs() -> Result<[OwnedFd; COUNT], Refusal> {
    let failed = |error| Refusal::new(Step::Seccomp, format!("compile a filter: {error}"));
    let programs = [
        program::foreign_numbers(),
        program::uninspectable().map_err(failed)?,
        program::denied().map_err(failed)?,
    ];
    let [guard, uninspectable, denied] = programs
        .map(|program| handover::sealed("filter", &program).refuse(Step::Seccomp, "pass a filter"));
    Ok([guard?, uninspectable?, denied?])
}
