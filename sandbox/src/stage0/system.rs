//! The host's programs: `/usr`, and at the root `/bin`, `/sbin` and `/lib*`, which are links into
//! `/usr` on most hosts and directories on some.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::source::{self, Source};
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::Access;

/// What every jail shows of the host's programs.
#[derive(Debug)]
pub(super) struct System {
    pub(super) shown: Vec<Source>,
    pub(super) links: Vec<Link>,
}

/// A link at the root.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: OsString,
    pub(super) to: PathBuf,
}

/// Opens what is shown and reads the links.
pub(super) fn open() -> Result<System, Refusal> {
    const LIST: &str = "list the host's root directory";
    let mut system = System { shown: vec![show(Path::new("/usr"))?], links: Vec::new() };
    for entry in fs::read_dir("/").refuse(Step::Source, LIST)? {
        let entry = entry.refuse(Step::Source, LIST)?;
        let (name, path) = (entry.file_name(), entry.path());
        if !is_wanted(&name) {
            continue;
        }
        let kind = entry.file_type().refuse(Step::Source, LIST)?;
        if kind.is_symlink() {
            let to = fs::read_link(&path).refuse(Step::Source, LIST)?;
            system.links.push(Link { name, to });
        } else if kind.is_dir() {
            system.shown.push(show(&path)?);
        }
    }
    Ok(system)
}

fn is_wanted(name: &OsStr) -> bool {
    name == "bin" || name == "sbin" || name.as_bytes().starts_with(b"lib")
}

fn show(path: &Path) -> Result<Source, Refusal> {
    let found = source::find(path)?;
    source::detach(found.as_fd(), path, path, Access::ReadOnly)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_and_their_libraries_are_the_systems() {
        for name in ["bin", "sbin", "lib", "lib64", "libx32"] {
            assert!(is_wanted(name.as_ref()), "{name}");
        }
        for name in ["usr", "root", "home", "boot", "binaries"] {
            assert!(!is_wanted(name.as_ref()), "{name}");
        }
    }
}
