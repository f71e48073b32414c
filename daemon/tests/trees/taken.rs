//! Large files that go over from an earlier tree into a later one.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use handoff_daemon::workspace::{Snapshots, Tree, Trees};
use handoff_proto::manifest::{SnapshotId, SnapshotManifest};
use proptest::prelude::*;

use super::world::{World, write};
use super::{
    all_are_whole, hand_off, hand_off_while, hand_off_whole, merged, prepare, put, trees,
    write_long_ago,
};

/// Large enough to be taken over.
pub(crate) const LARGE: usize = 5 << 20;

/// Content that nothing repeats in.
pub(crate) fn content(seed: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ (seed << 32 | 1);
    let mut content = vec![0; LARGE];
    for word in content.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    content
}

/// The same with a few bytes replaced.
pub(crate) fn changed(seed: u64, offset: usize, with: &[u8]) -> Vec<u8> {
    let mut content = content(seed);
    content[offset..offset + with.len()].copy_from_slice(with);
    content
}

/// Two large files of a generated tree: which content, with which change.
pub(crate) fn large_files() -> impl Strategy<Value = [Option<(u64, u8)>; 2]> {
    let file = prop::option::weighted(0.8, (0..5_u64, 0..3_u8));
    // One content is the rule, so that most changes are small ones.
    let file = file.prop_map(|file| file.map(|(seed, change)| (seed / 4, change)));
    [file.clone(), file]
}

pub(crate) fn lay_out(top: &Path, files: &[Option<(u64, u8)>; 2]) {
    for (name, file) in ["large", "a/large"].into_iter().zip(files) {
        let path = top.join(name);
        let is_free = path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok());
        if let (true, Some((seed, change))) = (is_free, file) {
            write_long_ago(&path, changed(*seed, usize::from(*change) << 20, &[*change]));
        }
    }
}

/// A world whose laptop has files that stay the same, and the trees of its daemon.
fn start() -> (World, Trees, PathBuf) {
    let world = World::new();
    let (trees, top) = (trees(&world), laptop(&world));
    (world, trees, top)
}

/// Files that stay the same: enough for a layer to be worth it.
pub(crate) fn laptop(world: &World) -> PathBuf {
    for number in 0..10 {
        write(&world.laptop().join(format!("same/{number}")), "same");
    }
    world.laptop()
}

fn inode(tree: &Tree, path: &str) -> Option<u64> {
    fs::symlink_metadata(tree.lowers[0].join(path)).ok().map(|meta| meta.ino())
}

pub(crate) fn directory(world: &World, snapshot: &SnapshotManifest) -> PathBuf {
    world.path("state/trees/ada").join(snapshot.id().to_string())
}

#[test]
fn a_large_file_that_changed_a_little_is_patched_and_not_written_again() {
    let (world, trees, top) = start();
    let large = top.join("dir/large");
    write(&large, content(1));
    let (mut known, mut tree) = (Vec::new(), hand_off(&world, &trees).1);
    let first = inode(&tree, "dir/large");
    let middle = changed(1, LARGE / 2, b"changed");
    let longer: Vec<u8> = middle.iter().copied().chain(*b"more").collect();
    for (number, content) in [(1, &middle[..]), (2, &longer), (3, &middle[..LARGE - 100_000])] {
        fs::write(&large, content).expect("write");
        let time = Duration::new(1_234_567_890 + number, 123_456_789);
        let file = fs::File::options().write(true).open(&large).expect("open");
        file.set_modified(SystemTime::UNIX_EPOCH + time).expect("time");
        file.set_permissions(fs::Permissions::from_mode(0o440)).expect("mode");
        let snapshot;
        (snapshot, tree) = hand_off_whole(&world, &trees);
        assert_eq!(inode(&tree, "dir/large"), first, "the very same file");
        let meta = fs::symlink_metadata(tree.lowers[0].join("dir/large")).expect("file");
        assert_eq!((meta.uid(), meta.mode() & 0o7777), (0, 0o440));
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_234_567_890 + number as i64, 123_456_789));
        known.push(snapshot);
    }
    assert_eq!(all_are_whole(&world, &trees, &known), 1, "the others lost their names");
}

#[test]
fn what_changed_a_lot_or_is_small_or_has_two_names_is_written_whole() {
    let (world, trees, top) = start();
    write(&top.join("shifted"), content(1));
    write(&top.join("small"), &content(2)[..3 << 20]);
    write(&top.join("linked"), content(3));
    let (before, first) = hand_off(&world, &trees);
    fs::hard_link(first.lowers[0].join("linked"), world.path("other")).expect("link");
    write(&top.join("shifted"), [b"shift".to_vec(), content(1)].concat());
    write(&top.join("small"), &changed(2, 9, b"changed")[..3 << 20]);
    write(&top.join("linked"), changed(3, 9, b"changed"));
    let (after, second) = hand_off(&world, &trees);
    for name in ["shifted", "small", "linked"] {
        assert_ne!(inode(&second, name), inode(&first, name), "{name}");
    }
    assert_eq!(all_are_whole(&world, &trees, &[before, after]), 2);
}

#[test]
fn nothing_is_taken_out_of_what_a_run_uses() {
    let (world, trees, top) = start();
    write(&top.join("low"), content(1));
    let mut known = Vec::new();
    let (bottom, at_bottom) = hand_off(&world, &trees);
    write(&top.join("high"), content(2));
    let (middle, in_middle) = hand_off(&world, &trees);
    known.extend([bottom.clone(), middle.clone()]);
    // The middle one is idle by itself, but its files are the bottom's, save one.
    write(&top.join("low"), changed(1, 9, b"changed"));
    write(&top.join("high"), changed(2, 9, b"changed"));
    let (upper, tree) = hand_off_while(&world, &trees, &[bottom.id()]).expect("prepared");
    assert_ne!(inode(&tree, "low"), inode(&at_bottom, "low"));
    assert!(inode(&at_bottom, "low").is_some());
    assert!(inode(&in_middle, "high").is_none() && inode(&tree, "high").is_some(), "idle");
    assert_eq!(world.capture(&merged(&world, &at_bottom)), bottom);
    assert_eq!(world.capture(&merged(&world, &tree)), upper);
    assert!(directory(&world, &bottom).exists() && !directory(&world, &middle).exists());
    known.push(upper.clone());
    // What is used is part of the newest: no file of either can be taken.
    write(&top.join("low"), content(1));
    let (top_most, tree_of_it) = hand_off_while(&world, &trees, &[upper.id()]).expect("prepared");
    assert_ne!(inode(&tree_of_it, "low"), inode(&tree, "low"));
    assert_eq!(world.capture(&merged(&world, &tree)), upper);
    known.push(top_most);
    assert_eq!(all_are_whole(&world, &trees, &known), 3);
}

#[test]
fn the_earlier_snapshot_is_made_anew_and_the_later_one_stays() {
    let (world, trees, top) = start();
    write(&top.join("large"), content(1));
    let (before, _) = hand_off(&world, &trees);
    write(&top.join("large"), changed(1, 9, b"changed"));
    let (after, tree) = hand_off(&world, &trees);
    let again = prepare(&world, &trees, before.id(), &[after.id()]).expect("prepared");
    assert_eq!(world.capture(&merged(&world, &again)), before);
    assert_eq!(world.capture(&merged(&world, &tree)), after);
    // Back and forth, as nobody uses either.
    for _ in 0..5 {
        for snapshot in [&after, &before] {
            let tree = prepare(&world, &trees, snapshot.id(), &[]).expect("prepared");
            assert_eq!(&world.capture(&merged(&world, &tree)), snapshot);
        }
    }
    all_are_whole(&world, &trees, &[before, after]);
}

#[test]
fn chains_of_large_files_are_cut_and_stay_exact() {
    let (world, trees, top) = start();
    let (mut known, mut patched) = (Vec::new(), 0);
    let mut before: Option<Tree> = None;
    for step in 0..24_u8 {
        // Two that alternate, one that goes back to what it was, and one that never changes but
        // has to come along.
        let (first, second) = (usize::from(step / 2), usize::from(step.div_ceil(2)));
        write(&top.join("dir/first"), changed(1, first << 10, b"changed"));
        write(&top.join("second"), changed(2, second << 10, b"changed"));
        let back = if step % 4 == 3 { content(3) } else { changed(3, 9, b"changed") };
        write(&top.join("dir/back"), back);
        if step == 0 {
            write(&top.join("dir/same"), content(4));
        }
        write(&top.join("small"), step.to_string());
        let inodes: HashSet<_> = before.iter().flat_map(|tree| all_inodes(&world, tree)).collect();
        let (snapshot, tree) = hand_off_whole(&world, &trees);
        let names = ["dir/first", "second", "dir/back"];
        let written = names.iter().filter_map(|name| inode(&tree, name));
        patched += written.filter(|inode| inodes.contains(inode)).count();
        assert!(tree.lowers.len() <= 9);
        known.push(snapshot);
        before = Some(tree);
    }
    assert!(patched >= 23 * 3 - 1, "each was patched each time, {patched}");
    all_are_whole(&world, &trees, &known);
    assert!(!trees.collect(HashSet::new).expect("collected").is_empty(), "parts of no tree");
    assert_eq!(all_are_whole(&world, &trees, &known), 1);
}

/// Of all large files in what a tree was made of, under whatever names that is now.
fn all_inodes(world: &World, tree: &Tree) -> Vec<u64> {
    let lowers = tree.lowers.iter().filter(|lower| lower.starts_with(world.path("state")));
    let files = lowers.flat_map(|lower| {
        ["dir/first", "second", "dir/back"].map(|name| fs::symlink_metadata(lower.join(name)))
    });
    files.filter_map(|meta| Some(meta.ok()?.ino())).collect()
}

#[test]
fn a_directory_whose_file_was_taken_and_is_gone_looks_as_ever() {
    let (world, trees, top) = start();
    write(&top.join("dir/large"), content(1));
    write(&top.join("dir/small"), "small");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let make_old = || fs::File::open(top.join("dir")).expect("open").set_modified(old);
    make_old().expect("time");
    hand_off(&world, &trees);
    write(&top.join("dir/large"), changed(1, 9, b"changed"));
    hand_off(&world, &trees);
    fs::remove_file(top.join("dir/large")).expect("removed");
    make_old().expect("time");
    // Until a layer is put on the tree at the chain's end, which the file was taken from.
    for number in 0..12 {
        write(&top.join("small"), number.to_string());
        hand_off_whole(&world, &trees);
    }
}

#[test]
fn a_file_that_was_taken_and_is_again_as_it_was_is_there() {
    let (world, trees, top) = start();
    let large = top.join("dir/large");
    write_long_ago(&large, content(1));
    hand_off(&world, &trees);
    write(&large, changed(1, 9, b"changed"));
    hand_off(&world, &trees);
    write_long_ago(&large, content(1));
    let mut cut = 0;
    for number in 0..12 {
        write(&top.join("small"), number.to_string());
        let (_, tree) = hand_off_whole(&world, &trees);
        cut += usize::from(tree.lowers.len() == 2);
    }
    assert_eq!(cut, 1, "a layer on the tree that the file was taken from");
}

#[test]
fn a_run_that_comes_meanwhile_keeps_what_it_found() {
    const SNAPSHOTS: u8 = 30;
    let (world, trees, top) = start();
    let large = top.join("large");
    let snapshots: Vec<_> = (0..SNAPSHOTS)
        .map(|change| {
            write(&large, changed(1, 9, &[change]));
            let snapshot = world.capture(&world.laptop());
            put(&world, &snapshot);
            (snapshot.id(), changed(1, 9, &[change]))
        })
        .collect();
    let manifests = Snapshots::default();
    let running: Mutex<Vec<SnapshotId>> = Mutex::default();
    let in_use = || {
        let running = running.lock().expect("lock").clone();
        // Time enough for the other one to come right after the question.
        pause();
        running.into_iter().map(|id| (world.user.clone(), id)).collect()
    };
    let run = |number: usize| {
        let (id, content) = &snapshots[number];
        running.lock().expect("lock").push(*id);
        let tree = trees.prepare(&world.blobs, &manifests, &world.user, *id, in_use);
        let tree = tree.expect("prepared");
        for _ in 0..3 {
            pause();
            let shown = tree.lowers.iter().find_map(|lower| fs::read(lower.join("large")).ok());
            assert!(shown.as_ref() == Some(content), "as long as it runs");
        }
        let mut running = running.lock().expect("lock");
        let place = running.iter().position(|other| other == id).expect("it ran");
        running.swap_remove(place);
    };
    let newest = AtomicUsize::new(0);
    run(0);
    std::thread::scope(|scope| {
        let later = scope.spawn(|| {
            for number in 1..snapshots.len() {
                run(number);
                newest.store(number, Ordering::Relaxed);
                pause();
            }
        });
        while !later.is_finished() {
            run(newest.load(Ordering::Relaxed));
            pause();
        }
    });
}

fn pause() {
    let deadline = Instant::now() + Duration::from_millis(2);
    while Instant::now() < deadline {
        std::thread::yield_now();
    }
}
