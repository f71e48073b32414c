//! Working trees: what is returned of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use handoff_proto::manifest::Kind;

use crate::world::{World, commit, git, write};

#[test]
fn an_untouched_tree_returns_nothing_new() {
    let world = World::with_repository();
    let base = world.hand_off();
    let known = world.blobs.len();
    let harvested = world.harvest(&base);
    assert_eq!(harvested.counts(), (0, 0, 0));
    assert_eq!(harvested.paths(), ["a.txt", "b.txt", "dir", "dir/c.txt"]);
    assert!(harvested.manifest.repositories[0].pack.is_empty());
    assert_eq!(harvested.notes, [""; 0]);
    assert_eq!(world.blobs.len(), known + 1, "only the manifest is new");
    assert_eq!(harvested.outcome.branch, "main");
}

#[test]
fn every_kind_of_change_is_returned_and_counted() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    write(&tree.join("a.txt"), "changed\n");
    fs::remove_file(tree.join("b.txt")).expect("remove");
    write(&tree.join("new/file"), vec![7; 3_000_000]);
    symlink("../../outside", tree.join("new/link")).expect("link");
    fs::create_dir(tree.join("new/empty")).expect("directory");
    fs::set_permissions(tree.join("dir/c.txt"), fs::Permissions::from_mode(0o755)).expect("chmod");
    let harvested = world.harvest(&base);
    assert_eq!(harvested.counts(), (2, 2, 1));
    assert_eq!(
        harvested.paths(),
        ["a.txt", "dir", "dir/c.txt", "new", "new/empty", "new/file", "new/link"]
    );
    let file = harvested.entry("new/file").expect("file");
    assert_eq!(world.content(file), vec![7; 3_000_000]);
    let link = &harvested.entry("new/link").expect("link").kind;
    assert_eq!(*link, Kind::Symlink { target: b"../../outside".to_vec() });
    assert_eq!(harvested.entry("dir/c.txt").expect("file").mode, 0o755);
}

#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let world = World::with_repository();
    let base = world.hand_off();
    let path = world.tree().join("a.txt");
    let time = fs::metadata(&path).expect("metadata").modified().expect("time");
    write(&path, "z\n");
    let times = fs::FileTimes::new().set_modified(time);
    fs::File::options().write(true).open(&path).expect("open").set_times(times).expect("times");
    assert_eq!(world.harvest(&base).counts(), (0, 1, 0));
}

#[test]
fn ignored_files_stay_behind_but_tracked_and_carried_ones_do_not() {
    let world = World::with_repository();
    write(&world.laptop().join("carried.log"), "untracked when it was handed off");
    let base = world.hand_off();
    let tree = world.tree();
    write(&tree.join(".gitignore"), "*.log\n/target/\n/dir/\n");
    write(&tree.join("target/object"), "x");
    write(&tree.join("noise.log"), "x");
    write(&tree.join("forced.log"), "x");
    write(&tree.join("dir/new"), "ignored with its directory");
    git(&tree, &["add", "-f", "forced.log"]);
    let harvested = world.harvest(&base);
    assert_eq!(
        harvested.paths(),
        [".gitignore", "a.txt", "b.txt", "carried.log", "dir", "dir/c.txt", "forced.log"]
    );
    assert_eq!(harvested.counts(), (2, 0, 0));
}

#[test]
fn the_users_own_ignore_rules_count_as_they_did_at_capture() {
    let world = World::with_repository();
    let base = world.hand_off();
    fs::write(world.layout.base().rules().ignore(), "*.swp\n").expect("write");
    write(&world.tree().join(".a.txt.swp"), "x");
    assert_eq!(world.harvest(&base).counts(), (0, 0, 0));
}

#[test]
fn globs_of_the_contract_count_in_both_directions() {
    let world = World::with_repository();
    write(&world.laptop().join(".gitignore"), "*.log\n/target/\n");
    let base = world.hand_off();
    fs::write(world.layout.base().rules().include(), "*.log\0/target/report/\0").expect("write");
    fs::write(world.layout.base().rules().exclude(), "*.mp4\0").expect("write");
    for name in ["new.log", "target/report/index.html", "target/object", "film.mp4", "dir/film.mp4"]
    {
        write(&world.tree().join(name), "x");
    }
    let harvested = world.harvest(&base);
    let paths = harvested.paths();
    assert!(paths.contains(&"new.log".to_owned()), "{paths:?}");
    assert!(paths.contains(&"target/report/index.html".to_owned()), "{paths:?}");
    assert!(!paths.iter().any(|path| path.contains("film") || path.contains("object")));
    assert_eq!(harvested.counts(), (2, 0, 0));
}

#[test]
fn a_directory_without_git_is_returned_whole() {
    let world = World::new();
    write(&world.laptop().join("notes/today"), "1");
    write(&world.laptop().join("drop"), "1");
    let base = world.hand_off();
    write(&world.tree().join("notes/today"), "2");
    write(&world.tree().join(".gitignore"), "*\n");
    write(&world.tree().join(".handoffignore"), "drop\nkeep-away\n");
    write(&world.tree().join("keep-away"), "x");
    let harvested = world.harvest(&base);
    assert_eq!(harvested.paths(), [".gitignore", ".handoffignore", "drop", "notes", "notes/today"]);
    assert_eq!(harvested.counts(), (2, 1, 0));
    assert_eq!(harvested.outcome.branch, "");
}

#[test]
fn places_to_mount_on_are_no_part_of_the_result() {
    let world = World::with_repository();
    let base = world.hand_off();
    for directory in [".cargo/bin", ".npm", "dir/cache", "used/cache"] {
        fs::create_dir_all(world.tree().join(directory)).expect("directory");
    }
    write(&world.tree().join(".cargo/config.toml"), "");
    write(&world.tree().join("used/file"), "x");
    let points = [".cargo/bin", ".cargo/config.toml", ".npm", "dir/cache", "used/cache"];
    let points = points.iter().map(|point| point.parse().expect("path")).collect();
    let collection = world.try_collect(points).expect("collected");
    let paths: Vec<String> =
        collection.manifest.entries.iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, ["a.txt", "b.txt", "dir", "dir/c.txt", "used", "used/file"]);
    drop(base);
}

#[test]
fn a_file_that_became_a_directory_is_one_change_and_its_files_are_others() {
    let world = World::with_repository();
    let base = world.hand_off();
    fs::remove_file(world.tree().join("a.txt")).expect("remove");
    write(&world.tree().join("a.txt/inner"), "x");
    commit(&world.tree(), "turned");
    assert_eq!(world.harvest(&base).counts(), (1, 1, 0));
}
