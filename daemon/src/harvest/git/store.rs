//! An object store of links to where a run's objects are: its packs and its loose objects, and
//! nothing that would lead git elsewhere or tell it what to believe.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use handoff_proto::tree::MetaKind;

use super::{GitDirectory, GitError};

/// The directory of packs.
const PACKS: &[u8] = b"pack";

/// Makes the store at a path that does not exist yet.
///
/// # Errors
///
/// Where a directory of objects holds anything but files: git would follow a link and wait for a
/// pipe.
pub(super) fn compose(directory: GitDirectory<'_>, at: &Path) -> Result<(), GitError> {
    fs::create_dir(at).map_err(GitError::Scratch)?;
    let objects = directory.join(b"objects")?;
    for (name, kind) in directory.list(&objects)? {
        if kind != MetaKind::Directory || !(name == PACKS || is_fan_out(&name)) {
            continue;
        }
        let path = objects.join(&name).map_err(|_| directory.odd(b"objects", "lies too deep"))?;
        let is_no_file = |(_, kind): &(Vec<u8>, MetaKind)| *kind != MetaKind::File;
        if let Some((child, _)) = directory.list(&path)?.into_iter().find(is_no_file) {
            let path = path.join(&child).map_or_else(|_| path.to_string(), |p| p.to_string());
            return Err(GitError::Odd { path, problem: "is no file" });
        }
        let link = at.join(path.as_os_path().file_name().unwrap_or_default());
        symlink(directory.tree.join(path.as_os_path()), link).map_err(GitError::Scratch)?;
    }
    Ok(())
}

/// Whether a directory holds the loose objects whose ids begin with its name.
fn is_fan_out(name: &[u8]) -> bool {
    name.len() == 2 && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
