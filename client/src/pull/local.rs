//! Makes what was captured now comparable with what was handed off.
//!
//! A handoff may have been told to carry ignored files or to leave others here, and a pull is not
//! told again. What was carried is looked at whatever the ignore rules say; what is older than the
//! handoff and was not carried is none of the pull's business.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use handoff_proto::chunk::chunk_reader;
use handoff_proto::manifest::{Entry, Kind, SnapshotManifest, Timestamp};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, MetaKind, lstat, open_regular, read_link};

use super::pairs::{Pair, outside_git, pairs};

/// Adjusts the manifest of the local tree; `handed_off_at` is when the handoff began to read it.
///
/// # Errors
///
/// Where something that was carried cannot be read.
pub fn comparable(
    root: BorrowedFd<'_>,
    base: &SnapshotManifest,
    mut local: SnapshotManifest,
    handed_off_at: Option<Timestamp>,
) -> Result<SnapshotManifest, FileError> {
    let (mut carried, mut new) = (Vec::new(), Vec::new());
    for pair in pairs(outside_git(&base.entries), outside_git(&local.entries)) {
        match pair {
            Pair::Removed(entry) => carried.extend(read(root, &entry.path)?),
            Pair::Added(entry) if !entry.is_directory() => new.push(entry.path.clone()),
            Pair::Added(_) | Pair::Modified(..) => {}
        }
    }
    if !carried.is_empty() {
        local.entries.extend(carried);
        local.entries.sort_by(|a, b| a.path.cmp(&b.path));
    }
    if let Some(moment) = handed_off_at {
        leave_out_older(root, base, &mut local, new, moment)?;
    }
    Ok(local)
}

/// Drops what of the new paths has been here unchanged since before the handoff and was not carried,
/// and the directories that hold nothing else.
fn leave_out_older(
    root: BorrowedFd<'_>,
    base: &SnapshotManifest,
    local: &mut SnapshotManifest,
    new: Vec<TreePath>,
    moment: Timestamp,
) -> Result<(), FileError> {
    let mut dropped: BTreeSet<TreePath> = BTreeSet::new();
    let mut emptied: BTreeSet<TreePath> = BTreeSet::new();
    for path in new {
        if lstat(root, &path)?.is_some_and(|meta| meta.ctime < moment) {
            emptied.extend(std::iter::successors(path.parent(), TreePath::parent));
            dropped.insert(path);
        }
    }
    if dropped.is_empty() {
        return Ok(());
    }
    // From the inside out: a directory goes if it was not carried and nothing in it stays.
    let mut held: BTreeSet<TreePath> = BTreeSet::new();
    for entry in local.entries.iter().rev() {
        let path = &entry.path;
        let goes = dropped.contains(path)
            || (emptied.contains(path) && base.entry(path).is_none() && !held.contains(path));
        if goes {
            dropped.insert(path.clone());
        } else {
            held.extend(path.parent());
        }
    }
    local.entries.retain(|entry| !dropped.contains(&entry.path));
    Ok(())
}

/// What is at a path, as a capture would have it; `None` if it is nothing that can be carried.
fn read(root: BorrowedFd<'_>, path: &TreePath) -> Result<Option<Entry>, FileError> {
    let meta = match lstat(root, path) {
        Ok(Some(meta)) => meta,
        Ok(None) | Err(FileError::Indirect { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mode, kind) = match meta.kind {
        MetaKind::Directory => (meta.permissions(), Kind::Directory),
        MetaKind::Symlink => (0o777, Kind::Symlink { target: read_link(root, path)? }),
        MetaKind::File => {
            let (file, _) = open_regular(root, path)?;
            let mut chunks = Vec::new();
            let read = chunk_reader(file, |chunk, _| {
                chunks.push(chunk);
                std::io::Result::Ok(())
            });
            let failed = |source| FileError::Io { action: "read", path: path.to_string(), source };
            (meta.permissions(), Kind::File { size: read.map_err(failed)?, chunks })
        }
        MetaKind::Socket | MetaKind::Fifo | MetaKind::Device => return Ok(None),
    };
    Ok(Some(Entry { path: path.clone(), mode, mtime: meta.mtime, kind }))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;

    use handoff_proto::manifest::VERSION;
    use handoff_proto::path::AbsolutePath;

    use super::*;

    fn entries(root: &File, paths: &[&str]) -> Vec<Entry> {
        let read = |path: &&str| read(root.as_fd(), &tree_path(path)).unwrap().unwrap();
        let mut entries: Vec<Entry> = paths.iter().map(read).collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries
    }

    fn tree_path(path: &str) -> TreePath {
        TreePath::parse(path.as_bytes()).unwrap()
    }

    fn manifest(entries: Vec<Entry>) -> SnapshotManifest {
        SnapshotManifest {
            version: VERSION,
            root: AbsolutePath::parse(b"/home/ada/project").unwrap(),
            root_mode: 0o755,
            root_mtime: Timestamp::default(),
            entries,
            repositories: Vec::new(),
            session: None,
        }
    }

    #[test]
    fn included_files_are_looked_at_and_excluded_ones_are_not() {
        let home = tempfile::tempdir().unwrap();
        for path in ["kept/a", "included/b", "excluded/deep/c", "half/d", "half/e"] {
            let full = home.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, path).unwrap();
        }
        let root = File::open(home.path()).unwrap();
        let base = manifest(entries(
            &root,
            &["kept", "kept/a", "included", "included/b", "half", "half/e"],
        ));
        // This time everything but what was included is captured.
        let here = [
            "kept",
            "kept/a",
            "excluded",
            "excluded/deep",
            "excluded/deep/c",
            "half",
            "half/d",
            "half/e",
        ];
        let local = manifest(entries(&root, &here));

        let later = Timestamp { secs: i64::MAX, nanos: 0 };
        let fitted = comparable(root.as_fd(), &base, local.clone(), Some(later)).unwrap();
        assert_eq!(fitted.entries, base.entries);

        // What is newer than the handoff stays.
        let before = Timestamp { secs: 0, nanos: 0 };
        let fitted = comparable(root.as_fd(), &base, local, Some(before)).unwrap();
        assert!(fitted.entry(&tree_path("excluded/deep/c")).is_some());
        assert_eq!(fitted.entries.len(), 10);
    }
}
