//! Version 2: one tree for all controllers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Cgroup, FAMILY, Version};
use crate::spec::Limits;

/// The controllers that a run needs.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// Checks that the group has every controller that a run needs.
pub(super) fn check(group: &Path) -> io::Result<()> {
    let available = fs::read_to_string(group.join("cgroup.controllers"))?;
    let has = |wanted: &str| available.split_whitespace().any(|controller| controller == wanted);
    if CONTROLLERS.into_iter().all(has) {
        Ok(())
    } else {
        Err(io::Error::other("a controller is missing"))
    }
}

pub(super) fn create(root: &Path, name: &str, limits: &Limits) -> io::Result<Cgroup> {
    check(root)?;
    let family = root.join(FAMILY);
    fs::create_dir_all(&family)?;
    for parent in [root, &family] {
        super::set(&parent.join("cgroup.subtree_control"), "+memory +pids")?;
    }
    let directory = family.join(name);
    // From here on, whatever fails, what was made is removed.
    let cgroup = Cgroup { version: Version::Two, directories: vec![directory.clone()] };
    super::fresh(&directory)?;
    super::set(&directory.join("memory.max"), &limits.memory_bytes.to_string())?;
    super::set_if_there(&directory.join("memory.swap.max"), "0")?;
    let processes = limits.processes.saturating_add(super::OURS).to_string();
    super::set(&directory.join("pids.max"), &processes)?;
    Ok(cgroup)
}

pub(super) fn kill(directories: &[PathBuf]) -> io::Result<()> {
    for directory in directories {
        match super::set(&directory.join("cgroup.kill"), "1") {
            // Before Linux 5.14, or once the group has gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                super::kill_listed(directory)?;
            }
            other => other?,
        }
    }
    Ok(())
}
