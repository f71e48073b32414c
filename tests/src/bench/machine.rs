//! The machine, as far as figures depend on it.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::process;

/// Cores, memory, kernel, and the file system of the trees.
pub(super) fn facts(directory: &Path) -> Result<String> {
    let cores = std::thread::available_parallelism().context("count the cores")?;
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy();
    let file_system = process::ok(
        process::command("findmnt").args(["-n", "-o", "FSTYPE", "--target"]).arg(directory),
    )?;
    Ok(format!("{cores} cores, Linux {kernel}, {}", file_system.trim()))
}
