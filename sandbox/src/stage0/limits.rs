//! Sets the resource limits that hold from stage-0 on. The limit on processes is init's to set: it
//! counts by user namespace, and only inside the jail's own does it count this run alone.

use rustix::process::Resource;

use crate::isolation::{Layer, LayerName, LayerState};
use crate::report::Refusal;
use crate::rlimit::lower;
use crate::spec::Limits;

/// A core dump would be written by the kernel, outside every other limit. One byte is too short for
/// a file and forbids to start a helper of the host's, which no limit at all, not even 0, does
/// (`do_coredump` in the kernel).
const CORE_BYTES: u64 = 1;

/// Sets the limits that no layer set up before gives.
pub(super) fn set(limits: &Limits, layers: &[Layer]) -> Result<(), Refusal> {
    let bounded =
        |layer: &Layer| layer.name == LayerName::Memory && layer.state == LayerState::InForce;
    lower(Resource::Core, CORE_BYTES)?;
    lower(Resource::Nofile, limits.open_files)?;
    if let Some(bytes) = limits.file_size_bytes {
        lower(Resource::Fsize, bytes)?;
    }
    if !layers.iter().any(bounded) {
        lower(Resource::Data, limits.memory_bytes)?;
    }
    Ok(())
}
