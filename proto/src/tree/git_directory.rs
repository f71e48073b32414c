//! What is particular about git directories: where they are, and what in them is not carried.

use crate::path::TreePath;

/// The longest `.git` file that is read, in bytes: a path and a few words.
pub(super) const GIT_FILE_MAX: u64 = 8 * 1024;

/// Whether a name in a git directory belongs to a process that is at work there.
///
/// Those files mean nothing on another machine, or worse, look like a lock that is held.
pub(super) fn is_transient(name: &[u8], is_directory: bool) -> bool {
    if name.starts_with(b"fsmonitor--daemon") {
        return true;
    }
    // A submodule may be called `x.lock`; its git directory is no lock.
    !is_directory
        && (name.ends_with(b".lock")
            || name == b"gc.pid"
            || name.starts_with(b"tmp_pack_")
            || name.starts_with(b"tmp_obj_"))
}

/// The directory that a `.git` file points to, if it is relative and within the tree.
///
/// Purely lexical: git resolves it in the same way as long as no symbolic link is involved.
pub(super) fn pointed_to(content: &[u8], repository: Option<&TreePath>) -> Option<TreePath> {
    let target = git_file_target(content)?;
    if target.starts_with(b"/") {
        return None;
    }
    let mut components: Vec<&[u8]> = repository.map_or_else(Vec::new, |r| r.components().collect());
    for component in target.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop()?;
            }
            _ => components.push(component),
        }
    }
    TreePath::parse(&components.join(&b'/')).ok()
}

/// The path in a `.git` file; `None` if it is something else.
pub(super) fn git_file_target(content: &[u8]) -> Option<&[u8]> {
    let target = content.strip_prefix(b"gitdir: ")?;
    let end = target.iter().rposition(|byte| !b"\r\n".contains(byte))?;
    Some(&target[..=end])
}
