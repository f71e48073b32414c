//! Lowers a resource limit. Used by stage-0 for what holds from the start and by init for what
//! only counts inside.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::report::{Refusal, Refuse as _, Step};

/// Sets a limit, or leaves the one we were given where that is lower already.
pub(crate) fn lower(resource: Resource, limit: u64) -> Result<(), Refusal> {
    let given = getrlimit(resource).maximum;
    let limit = Some(given.map_or(limit, |given| given.min(limit)));
    setrlimit(resource, Rlimit { current: limit, maximum: limit })
        .refuse(Step::Limits, format_args!("limit {resource:?}"))
}
