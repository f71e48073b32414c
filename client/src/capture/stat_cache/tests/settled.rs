//! Which directories are remembered, and what that costs.

use handoff_proto::tree::{MetaKind, Names, WalkDirectory};
use tempfile::TempDir;

use crate::capture::source::Directory;
use crate::capture::tests::open_telling;

use super::super::*;
use super::{root, save, stamp};

const DEVICE: u64 = 1;

/// A directory whose names have just been read.
fn read(path: &str, stamp: Stamp) -> WalkDirectory {
    let Stamp { size, mtime, ctime, inode } = stamp;
    let (kind, mode) = (MetaKind::Directory, 0o755);
    let meta =
        Meta { kind, mode, size, mtime, ctime, inode, device: DEVICE, links: 2, uid: 0, gid: 0 };
    WalkDirectory { path: path.parse().ok(), meta, names: Some(Names::default()) }
}

fn at(secs: i64) -> Moment {
    Moment(Timestamp { secs, nanos: 7 })
}

/// A directory on a file system that tells of names.
fn local() -> (TempDir, Directory) {
    let home = tempfile::tempdir().unwrap();
    let directory = open_telling(home.path());
    (home, directory)
}

#[test]
fn only_settled_directories_of_one_local_file_system_are_remembered() {
    let (_home, local) = local();
    let looked_into = [read("", stamp(10))];
    let cache = StatCache::load(None, &root());
    let count = |directory: &Directory, device, began| {
        Settled::of(&looked_into, &cache, directory, device, began).iter().count()
    };
    assert_eq!(count(&local, Some(DEVICE), at(20)), 1);
    assert_eq!(count(&local, Some(DEVICE), at(10)), 0);
    assert_eq!(count(&local, Some(DEVICE + 1), at(20)), 0);
    let kernel = Directory::open(Path::new("/proc")).unwrap();
    assert_eq!(count(&kernel, telling_device(kernel.fd()), at(20)), 0);
}

#[test]
fn names_that_were_remembered_already_are_nothing_new() {
    let (home, local) = local();
    save(home.path(), &[]);
    let cache = StatCache::load(Some(home.path()), &root());
    let cost = |looked_into: &[WalkDirectory]| {
        Settled::of(looked_into, &cache, &local, Some(DEVICE), at(20)).new_cost()
    };
    assert_eq!(cost(&[read("a", stamp(2))]), 0);
    assert_eq!(cost(&[read("a", stamp(3))]), read_cost(0));
    assert_eq!(cost(&[read("a", stamp(2)), read("b", stamp(2))]), read_cost(0));
}
