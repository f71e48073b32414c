//! Directories whose names are remembered: what happens in them is seen nevertheless.

#![cfg(target_os = "linux")]

use std::borrow::Cow;
use std::fs;
use std::time::{Duration, Instant};

use handoff_proto::tree::{KnownNames as _, Meta, lstat};

use super::super::*;
use super::{Tree, open_telling, paths};

/// A tree with a directory in it, and how to capture it with a memory.
fn remembered_tree() -> (Tree, Options) {
    let tree = Tree::with_repository();
    tree.write("tree/below/old", "old");
    tree.write("tree/below/other", "other");
    let options = tree.remembering("tree");
    (tree, options)
}

fn directory_stamp(tree: &Tree, path: &str) -> Stamp {
    Stamp::of(&fs::File::open(tree.path(path)).unwrap()).unwrap()
}

/// Captures until the names in the root, and in one directory of it, need not be read again.
fn capture_until_known(options: &Options, tree: &Tree) {
    open_telling(options.root.as_os_path());
    let deadline = Instant::now() + Duration::from_secs(60);
    let stamp = |path| directory_stamp(tree, path);
    let is_known = || {
        let cache = StatCache::load(options.stat_cache.as_deref(), &options.root);
        let below: TreePath = "below".parse().unwrap();
        cache.names(None, &stamp("tree")).is_some()
            && cache.names(Some(&below), &stamp("tree/below")).is_some()
    };
    while !is_known() {
        capture(options, &|_| {}).unwrap();
        assert!(Instant::now() < deadline, "directories never settle");
    }
}

#[test]
fn whatever_comes_or_goes_in_a_remembered_directory_is_seen() {
    let (tree, options) = remembered_tree();
    tree.write("elsewhere", "elsewhere");
    let path = |name: &str| tree.path("tree").join(name);
    let changes: [&dyn Fn(); 9] = [
        &|| fs::write(path("below/new"), "new").unwrap(),
        &|| fs::remove_file(path("below/new")).unwrap(),
        &|| fs::rename(path("below/old"), path("below/odd")).unwrap(),
        &|| fs::rename(tree.path("elsewhere"), path("below/other")).unwrap(),
        &|| {
            fs::remove_file(path("below/odd")).unwrap();
            fs::create_dir(path("below/odd")).unwrap();
        },
        &|| std::os::unix::fs::symlink("odd", path("below/link")).unwrap(),
        &|| fs::hard_link(path("committed"), path("below/hard")).unwrap(),
        &|| fs::write(path("below/.gitignore"), "other\n").unwrap(),
        &|| fs::rename(path("below"), path("moved")).unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        capture_until_known(&options, &tree);
        change();
        let remembered = capture(&options, &|_| {}).unwrap();
        assert_eq!(remembered.id, tree.capture("tree").id, "change {number}");
    }
}

/// Remembers these names of the directory `below`, and nothing else.
fn remember_names(options: &Options, tree: &Tree, names: &[u8]) {
    let directory = (&b"below"[..], directory_stamp(tree, "tree/below"), Cow::Borrowed(names));
    let directories = [directory].into_iter();
    let captured = Captured { indexes: &[], directories, files: std::iter::empty() };
    let cache = StatCache::load(options.stat_cache.as_deref(), &options.root);
    cache.update(u64::MAX, captured).unwrap();
}

#[test]
fn a_memory_that_is_found_to_be_wrong_is_not_used_again() {
    let (tree, options) = remembered_tree();
    let whole = tree.capture("tree").id;
    // One lacks a name, which nothing could tell; the last two hold what is gone, and what is no
    // directory.
    for (names, is_noticed) in [
        (&b"fold\0fother\0"[..], true),
        (b"fold\0", false),
        (b"fgone\0fold\0", true),
        (b"dold\0fother\0", true),
    ] {
        remember_names(&options, &tree, names);
        let captured = capture(&options, &|_| {}).unwrap();
        let shown = String::from_utf8_lossy(names);
        assert_eq!(captured.id == whole, is_noticed, "{shown:?}: {:?}", paths(&captured));
    }
}

#[test]
fn names_are_recalled_on_the_file_system_of_the_tree_only() {
    let (tree, options) = remembered_tree();
    capture_until_known(&options, &tree);
    let root = open_telling(options.root.as_os_path());
    let lazy = LazyCache::new(options.stat_cache.as_deref(), &options.root);
    lazy.get();
    let known = CachedNames::new(&lazy, telling_device(root.fd()));
    let below: TreePath = "below".parse().unwrap();
    let now = lstat(root.fd(), &below).unwrap().unwrap();
    assert!(known.names(Some(&below), &now).is_some());
    let mounted = Meta { device: now.device + 1, ..now };
    assert_eq!(known.names(Some(&below), &mounted), None);
    assert_eq!(CachedNames::new(&lazy, None).names(Some(&below), &now), None);
    let kernel = Directory::open(Path::new("/proc")).unwrap();
    assert_eq!(
        CachedNames::new(&lazy, telling_device(kernel.fd())).names(Some(&below), &now),
        None
    );
}
