//! What is left where a later tree was not finished, or the machine went down.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use handoff_daemon::workspace::Trees;
use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{SnapshotId, SnapshotManifest};

use super::taken::{LARGE, changed, content, directory, laptop};
use super::world::{World, write};
use super::{
    SmallDisk, all_are_whole, hand_off, hand_off_while, hand_off_whole, merged, prepare, put,
    trees, until_durable,
};

/// What is called after a tree that lost its name.
fn rest(world: &World, snapshot: &SnapshotManifest) -> PathBuf {
    world.path("state/trees/ada").join(format!("{}.0", snapshot.id()))
}

fn names(world: &World) -> Vec<String> {
    let listed = fs::read_dir(world.path("state/trees/ada")).expect("list");
    listed.map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect()
}

#[test]
fn a_failure_in_the_middle_leaves_nothing_and_the_next_attempt_succeeds() {
    let world = World::new();
    let disk = SmallDisk::new(world.path("state"));
    disk.mount("remount,size=16m");
    let trees = Trees::new(&disk.0);
    let top = laptop(&world);
    write(&top.join("large"), content(1));
    hand_off(&world, &trees);
    write(&top.join("large"), changed(1, 9, b"changed"));
    write(&top.join("new"), [content(2), content(3), content(4)].concat());
    hand_off_while(&world, &trees, &[]).expect_err("there is no room");
    assert!(names(&world).iter().all(|name| name.starts_with("latest-")), "{:?}", names(&world));
    fs::remove_file(top.join("new")).expect("removed");
    let (snapshot, tree) = hand_off(&world, &trees);
    assert_eq!(world.capture(&merged(&world, &tree)), snapshot, "with a pointer to nothing");
    // A chunk that is not there.
    write(&top.join("large"), changed(1, LARGE / 2, b"again"));
    let next = world.capture(&top);
    let had: HashSet<ChunkId> = snapshot.chunks().map(|chunk| chunk.id).collect();
    let lost = Trees::new(&disk.0);
    let fresh = next.chunks().find(|chunk| !had.contains(&chunk.id)).expect("a new one");
    put(&world, &next);
    world.blobs.forget(&fresh.id);
    prepare(&world, &lost, next.id(), &[]).expect_err("a chunk is missing");
    assert!(names(&world).iter().all(|name| name.starts_with("latest-")), "{:?}", names(&world));
    hand_off_whole(&world, &trees);
}

/// A tree, a layer on it, and what a file of each is about to be taken for.
fn about_to_take(world: &World, trees: &Trees) -> [SnapshotManifest; 2] {
    let top = laptop(world);
    write(&top.join("low"), content(1));
    let (bottom, _) = hand_off(world, trees);
    write(&top.join("high"), content(2));
    let (upper, _) = hand_off(world, trees);
    write(&top.join("low"), changed(1, 9, b"changed"));
    write(&top.join("high"), changed(2, 9, b"changed"));
    [bottom, upper]
}

#[test]
fn wherever_it_ends_what_is_found_is_whole() {
    // How far it came; whether the daemon that starts next cleans up.
    for (steps, cleaned) in (0..5).flat_map(|steps| [(steps, true), (steps, false)]) {
        let world = World::new();
        let trees = trees(&world);
        let mut known = about_to_take(&world, &trees).to_vec();
        let half = world.path("state/trees/ada/.new-half/tree");
        let [bottom, upper] = [&known[0], &known[1]];
        let acts: [&dyn Fn() -> std::io::Result<()>; 4] = [
            &|| fs::rename(directory(&world, upper), rest(&world, upper)),
            &|| fs::rename(directory(&world, bottom), rest(&world, bottom)),
            &|| {
                fs::create_dir_all(&half)?;
                fs::rename(rest(&world, bottom).join("tree/low"), half.join("low"))
            },
            &|| {
                fs::rename(rest(&world, upper).join("tree/high"), half.join("high"))?;
                fs::write(half.join("high"), "half")
            },
        ];
        acts.iter().take(steps).for_each(|act| act().expect("step"));
        let whole = 2_usize.saturating_sub(steps);
        if cleaned {
            trees.clean().expect("clean");
            let left = names(&world).len();
            assert_eq!(left, whole + 1, "and the pointer: {:?}", names(&world));
        }
        assert_eq!(all_are_whole(&world, &trees, &known), whole, "after {steps}");
        known.push(hand_off(&world, &trees).0);
        all_are_whole(&world, &trees, &known);
        for id in known.iter().map(SnapshotManifest::id).collect::<Vec<SnapshotId>>() {
            prepare(&world, &trees, id, &[]).expect("prepared");
            all_are_whole(&world, &trees, &known);
        }
    }
}

#[test]
fn a_new_tree_that_the_pointer_does_not_name_yet_is_whole() {
    let world = World::new();
    let trees = trees(&world);
    let mut known = about_to_take(&world, &trees).to_vec();
    let pointer = names(&world).into_iter().find(|name| name.starts_with("latest-"));
    let pointer = world.path("state/trees/ada").join(pointer.expect("pointer"));
    known.push(hand_off(&world, &trees).0);
    fs::write(&pointer, known[1].id().to_string()).expect("as before");
    trees.clean().expect("clean");
    assert_eq!(all_are_whole(&world, &trees, &known), 1);
    write(&world.laptop().join("low"), changed(1, 99, b"changed"));
    known.push(hand_off(&world, &trees).0);
    assert_eq!(all_are_whole(&world, &trees, &known), 2);
}

#[test]
fn what_lost_its_name_stays_for_as_long_as_it_is_part_of_a_tree() {
    let world = World::new();
    let trees = trees(&world);
    let mut known = about_to_take(&world, &trees).to_vec();
    // As if it lost its name before its own turn came.
    known.iter().for_each(|snapshot| until_durable(&directory(&world, snapshot)));
    fs::remove_file(directory(&world, &known[0]).join("durable")).expect("not yet");
    let (snapshot, tree) = hand_off(&world, &trees);
    known.push(snapshot.clone());
    until_durable(&directory(&world, &snapshot));
    let parts = [rest(&world, &known[1]), rest(&world, &known[0])];
    let lowers: Vec<_> = parts.iter().map(|part| part.join("tree")).collect();
    assert_eq!(tree.lowers[1..], lowers);
    let needed = HashSet::from([(world.user.clone(), known[0].id())]);
    assert!(trees.collect(|| needed).expect("collected").is_empty());
    // The machine went down after everything had reached the disk.
    let directories = [directory(&world, &snapshot), parts[0].clone(), parts[1].clone()];
    for directory in &directories {
        fs::write(directory.join("boot"), "another").expect("boot");
    }
    trees.clean().expect("clean");
    assert_eq!(all_are_whole(&world, &trees, &known), 1);
    // And after only a part of it had.
    fs::remove_file(parts[1].join("durable")).expect("not yet");
    trees.clean().expect("clean");
    assert!(names(&world).iter().all(|name| name.starts_with("latest-")), "{:?}", names(&world));
    hand_off_whole(&world, &trees);
}
