//! Counts files with extended attributes, which are not carried.

use handoff_proto::path::{AbsolutePath, TreePath};
use handoff_proto::tree::Origin;
use rustix::fs::llistxattr;

use crate::capture::Capture;

/// Names that the system gives every file by itself.
const OF_THE_SYSTEM: [&[u8]; 2] = [b"security.selinux", b"com.apple.provenance"];

/// How many of them are named.
const SHOWN_MAX: usize = 20;

/// Enough for the names of any file that is not made to be odd.
const NAMES_BYTES: usize = 64 << 10;

/// Files and directories with extended attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) count: usize,
    pub(super) first: Vec<TreePath>,
}

pub(super) fn count(root: &AbsolutePath, capture: &Capture) -> Attributes {
    let mut attributes = Attributes::default();
    let mut names = vec![0; NAMES_BYTES];
    for (entry, origin) in capture.manifest.entries.iter().zip(&capture.origins) {
        if *origin == Origin::Git || !has_any(root, &entry.path, &mut names) {
            continue;
        }
        attributes.count += 1;
        if attributes.first.len() < SHOWN_MAX {
            attributes.first.push(entry.path.clone());
        }
    }
    attributes
}

fn has_any(root: &AbsolutePath, path: &TreePath, names: &mut [u8]) -> bool {
    let path = root.as_os_path().join(path.as_os_path());
    // A file system without them, or a file that is gone, has none to lose.
    let length = llistxattr(&path, &mut *names).unwrap_or_default();
    let names = names[..length].split(|&byte| byte == 0);
    names.filter(|name| !name.is_empty()).any(|name| !OF_THE_SYSTEM.contains(&name))
}
