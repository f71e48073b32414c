//! A daemon of an ordinary user where files can share blocks: the next run of a large tree costs
//! next to nothing, and each sees its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use handoff_tests::disk::{Format, Tester, on_disk};
use handoff_tests::world::World;

const LARGE: u64 = 64 << 20;

/// What a run takes besides: its directory, records, output, a small result.
const LITTLE: u64 = 8 << 20;

/// Free bytes once all that was written is on the disk.
fn free(disk: &Path) -> u64 {
    let directory = File::open(disk).expect("open");
    rustix::fs::syncfs(&directory).expect("sync");
    let found = rustix::fs::fstatvfs(&directory).expect("statvfs");
    found.f_bfree * found.f_frsize
}

/// The files that trees share blocks with.
fn originals(world: &World) -> Vec<PathBuf> {
    let list = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path());
    list(world.local_daemon().join("originals")).flat_map(list).flat_map(list).collect()
}

fn story(disk: &Path) {
    let world = World::ordinary();
    let project = world.directory("data");
    let mut content = vec![0; usize::try_from(LARGE).expect("size")];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    world.write(&project.join("large"), &content);
    let sum = world.ok(&project, "cksum", ["large"]);

    let script = "printf changed | dd of=large conv=notrunc 2> /dev/null && cp large copy";
    let first = world.hand_off(&project, ["--exclude", "copy", "--", "sh", "-c", script]);
    assert_eq!(world.finished(&project, &first)["outcome"], "succeeded");
    let doctor = world.handoff(&project, ["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("reflink: a start costs as much as the tree has files"), "{doctor}");
    assert_eq!(originals(&world).len(), 1, "{:?}", originals(&world));

    let before = free(disk);
    let second = world.hand_off(&project, ["-n", "second", "--", "sh", "-c", "cksum large > sum"]);
    assert_eq!(world.finished(&project, &second)["outcome"], "succeeded");
    let cost = before.saturating_sub(free(disk));
    assert!(cost < LITTLE, "{cost} bytes");
    world.handoff(&project, ["pull", "second"]).ok();
    assert_eq!(fs::read_to_string(project.join("sum")).expect("sum"), sum, "the original");

    // What no run needs any more goes with it, by itself or by the operator, whoever is first.
    for run in [first, second] {
        world.handoff(&project, ["rm", &run]).ok();
    }
    let mut collect = world.command(&project, "handoffd");
    collect.arg("gc").env("HANDOFFD_STATE", world.local_daemon());
    let said = handoff_tests::world::said(&mut collect).ok();
    assert!(said.starts_with("removed "), "{said}");
    assert_eq!(originals(&world), Vec::<PathBuf>::new());
}

#[test]
fn on_xfs() {
    on_disk((Format::Xfs, 2 << 30), Tester::Root, (module_path!(), "on_xfs"), story);
}

#[test]
fn on_btrfs() {
    on_disk((Format::Btrfs, 2 << 30), Tester::Root, (module_path!(), "on_btrfs"), story);
}
