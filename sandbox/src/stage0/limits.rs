//! Sets the resource limits that hold from stage-0 on. The limit on processes is init's to set: it
//! counts by user namespace, and only inside the jail's own does it count this run alone.

use rustix::process::Resource;

use crate::isolation::{Layer, LayerName, LayerState};
use crate::report::Refusal;
use crate::rlimit::lower;
use crate::spec::Limits;

/// Sets the limits that no layer set up before gives.
pub(super) fn set(limits: &Limits, layers: &[Layer]) -> Result<(), Refusal> {
    let bounded =
        |layer: &Layer| layer.name == LayerName::Memory && layer.state == LayerState::InForce;
    // A core dump would be written by the kernel, outside every other limit.
    lower(Resource::Core, 0)?;
    lower(Resource::Nofile, limits.open_files)?;
    if let Some(bytes) = limits.file_size_bytes {
        lower(Resource::Fsize, bytes)?;
    }
    if !layers.iter().any(bounded) {
        lower(Resource::Data, limits.memory_bytes)?;
    }
    Ok(())
}
