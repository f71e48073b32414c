//! Version 1: one tree for each controller.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Cgroup, FAMILY, OURS, Version};
use crate::spec::Limits;

pub(super) fn create(root: &Path, name: &str, limits: &Limits) -> io::Result<Cgroup> {
    let [memory, pids] = ["memory", "pids"].map(|controller| root.join(controller));
    for tree in [&memory, &pids] {
        // Without this file the directory is not a mounted tree but an empty mount point.
        fs::metadata(tree.join("cgroup.procs"))?;
        fs::create_dir_all(tree.join(FAMILY))?;
    }
    let [memory, pids] = [memory, pids].map(|tree| tree.join(FAMILY).join(name));
    // From here on, whatever fails, what was made is removed.
    let cgroup = Cgroup { version: Version::One, directories: vec![memory.clone(), pids.clone()] };
    super::fresh(&memory)?;
    super::fresh(&pids)?;
    let bytes = limits.memory_bytes.to_string();
    super::set(&memory.join("memory.limit_in_bytes"), &bytes)?;
    // Memory and swap together.
    super::set_if_there(&memory.join("memory.memsw.limit_in_bytes"), &bytes)?;
    let processes = limits.processes.saturating_add(OURS).to_string();
    super::set(&pids.join("pids.max"), &processes)?;
    Ok(cgroup)
}

pub(super) fn kill(directories: &[PathBuf]) -> io::Result<()> {
    directories.iter().try_for_each(|directory| super::kill_listed(directory))
}
