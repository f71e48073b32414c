//! Names that a caller remembers are not read again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, KnownNames, Meta, WalkError, WalkOptions, walk};

use super::{carried, walk_with, write};

/// What a walk looked into, whatever has happened since; counts what it is asked for.
#[derive(Debug, Default)]
struct Remembered {
    names: BTreeMap<Option<TreePath>, (Meta, Vec<u8>)>,
    used: AtomicUsize,
}

impl KnownNames for Remembered {
    fn names(&self, directory: Option<&TreePath>, now: &Meta) -> Option<&[u8]> {
        let (meta, names) = self.names.get(&directory.cloned())?;
        (meta.inode == now.inode).then(|| {
            self.used.fetch_add(1, Ordering::Relaxed);
            &**names
        })
    }
}

#[test]
fn known_names_are_taken_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["a/b/one", "a/b/two", "a/three", "four"]);
    let nothing = Remembered::default();
    let first = walk_with(root, &WalkOptions { known: Some(&nothing), ..WalkOptions::default() });
    let looked_into: Vec<String> = first
        .looked_into
        .iter()
        .map(|found| found.path.as_ref().map_or_else(|| ".".to_owned(), ToString::to_string))
        .collect();
    assert_eq!(looked_into, [".", "a", "a/b"]);

    let names = first.looked_into.into_iter().map(|found| {
        let names = found.names.expect("nothing was known").encode();
        (found.path, (found.meta, names))
    });
    let remembered = Remembered { names: names.collect(), used: AtomicUsize::new(0) };
    let options = WalkOptions { known: Some(&remembered), ..WalkOptions::default() };
    let second = walk_with(root, &options);
    assert_eq!(second.entries, first.entries);
    assert!(second.looked_into.iter().all(|found| found.names.is_none()));
    // `walk_with` walks twice.
    assert_eq!(remembered.used.load(Ordering::Relaxed), 6);

    // The caller was told that what it knows may have changed, and vouches for it nevertheless.
    fs::write(root.join("a/b/unknown"), "").unwrap();
    let expected = ["a/", "a/b/", "a/b/one", "a/b/two", "a/three", "four"];
    assert_eq!(carried(&walk_with(root, &options)), expected);
}

#[test]
fn what_is_no_list_of_names_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["a"]);
    let nothing = Remembered::default();
    let first = walk_with(root, &WalkOptions { known: Some(&nothing), ..WalkOptions::default() });
    let damaged = first.looked_into.into_iter().map(|found| (found.path, (found.meta, vec![7])));
    let remembered = Remembered { names: damaged.collect(), used: AtomicUsize::new(0) };
    let options = WalkOptions { known: Some(&remembered), ..WalkOptions::default() };
    let second = walk_with(root, &options);
    assert_eq!(carried(&second), ["a"]);
    assert!(second.looked_into[0].names.is_some());
}

#[test]
fn a_known_name_that_is_not_there_is_no_silent_loss() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["here"]);
    for names in [&b"fgone\0fhere\0"[..], b"dhere\0"] {
        let meta = lstat_root(root);
        let names = [(None, (meta, names.to_vec()))].into_iter().collect();
        let remembered = Remembered { names, used: AtomicUsize::new(0) };
        let options = WalkOptions { known: Some(&remembered), ..WalkOptions::default() };
        let failed = walk(root, &options, &mut |_| Ok(None)).unwrap_err();
        assert!(matches!(failed, WalkError::File(FileError::Changed { .. })), "{failed}");
    }
}

fn lstat_root(root: &Path) -> Meta {
    walk(root, &WalkOptions::default(), &mut |_| Ok(None)).unwrap().root
}
