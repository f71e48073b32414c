//! The system call filters: three small programs that bubblewrap loads just before init. They
//! allow what builds and their tools use; what namespaces and the lack of capabilities leave open
//! beyond that, and whatever later kernels bring, is closed.

mod allowed;
mod denied;
mod program;

use std::os::fd::OwnedFd;

use crate::handover;
use crate::report::{Refusal, Refuse as _, Step};

/// How many filters init must find in force.
pub(crate) const COUNT: usize = 3;

/// Compiles the filters into memory files, in the form and order in which bubblewrap loads them.
///
/// All of them are asked about every call. Where several refuse it, the one loaded last says with
/// which error: whoever finds a call missing is told so.
pub(crate) fn programs() -> Result<[OwnedFd; COUNT], Refusal> {
    let failed = |error| Refusal::new(Step::Seccomp, format!("compile a filter: {error}"));
    let programs = [
        program::allowed().map_err(failed)?,
        program::foreign_numbers(),
        program::unknown().map_err(failed)?,
    ];
    let [allowed, foreign, unknown] = programs
        .map(|program| handover::sealed("filter", &program).refuse(Step::Seccomp, "pass a filter"));
    Ok([allowed?, foreign?, unknown?])
}
