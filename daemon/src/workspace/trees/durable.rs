//! Completes trees and lets them reach the disk while their first runs go on.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{Mode, OFlags, openat, syncfs};

use super::{MANIFEST, Tree};
use crate::workspace::snapshots::Snapshot;

/// Writes a tree's own manifest and lets it all reach the disk; then notes that, in each directory
/// that it is made of.
pub(super) fn make(tree: &Tree, contents: Arc<Snapshot>, keeping: Arc<RwLock<()>>) {
    let parts: Vec<PathBuf> =
        tree.lowers.iter().filter_map(|lower| lower.parent().map(Path::to_owned)).collect();
    let work = move || {
        if let Err(error) = complete(&parts, &contents, &keeping) {
            tracing::debug!(%error, "{:?} is made again after a crash", parts.first());
        }
    };
    // Without the thread the tree is as good, until the machine goes down.
    drop(std::thread::Builder::new().name("tree-sync".to_owned()).spawn(work));
}

fn complete(parts: &[PathBuf], contents: &Snapshot, keeping: &RwLock<()>) -> io::Result<()> {
    let open = |part: &PathBuf| Ok((part.clone(), File::open(part)?));
    let parts = parts.iter().map(open).collect::<io::Result<Vec<_>>>()?;
    let kept = || keeping.read().unwrap_or_else(PoisonError::into_inner);
    if let Some((own, directory)) = parts.first() {
        {
            let _kept = kept();
            write(own, directory, MANIFEST, &contents.encoded)?;
        }
        syncfs(directory)?;
    }
    let _kept = kept();
    // What is below may have lost its name before its own turn came. The tree's own is the last: it
    // is trusted if all that it is made of is.
    parts.iter().rev().try_for_each(|(part, directory)| write(part, directory, "durable", b""))
}

/// Writes a file into a directory, not into another one that was made in its place meanwhile, nor
/// into one that is being removed.
fn write(place: &Path, directory: &File, name: &str, content: &[u8]) -> io::Result<()> {
    if directory.metadata()?.ino() != fs::symlink_metadata(place)?.ino() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?;
    File::from(file).write_all(content)
}
