//! Programs that are one file somewhere else, with a link to it in a directory of `PATH`: the way
//! in which installers keep versions apart.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Tools;

/// Each is a mount of every run.
const PROGRAMS_MAX: usize = 64;

/// How an executable begins that needs nothing else beside the system's libraries. Scripts are
/// part of something larger, which stays hidden.
const ELF: [u8; 4] = *b"\x7fELF";

/// The files that links in the tools' directories lead to and that runs would not see.
pub(super) fn find(tools: &Tools) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for directory in &tools.path {
        let Some(real) = tools.host_path(directory, None) else { continue };
        let Ok(entries) = fs::read_dir(real) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if let Some(program) = entry.path().canonicalize().ok().filter(|_| is_link)
                && !tools.shows(&program)
                && !found.contains(&program)
                && found.len() < PROGRAMS_MAX
                && is_elf(&program)
            {
                found.push(program);
            }
        }
    }
    found
}

fn is_elf(path: &Path) -> bool {
    let mut start = [0; ELF.len()];
    super::super::environment::is_program(path)
        && File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok())
        && start == ELF
}
