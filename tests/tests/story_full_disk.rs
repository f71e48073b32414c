//! A daemon whose disk fills up between the receipt and the run: the run is refused and says why,
//! what was there before stays, and once there is room the same handoff succeeds.

use std::fs::{self, File};

use handoff_tests::remote::Remote;
use handoff_tests::world::World;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// What is sent, its tree, and what a daemon wants to be free besides, with little room more: what
/// was stored must not be counted again.
const DISK_BYTES: u64 = 240 << 20;

const LARGE_BYTES: usize = 70 << 20;

/// For the daemon's own records, and much less than the tree.
const LEFT_BYTES: u64 = 16 << 20;

#[test]
fn a_run_without_room_for_its_tree_is_refused_and_nothing_else_suffers() {
    let world = World::new();
    let remote =
        Remote::on_small_disk(DISK_BYTES, "[store]\nreserve = \"8MiB\"\n[runs]\nconcurrent = 1\n");
    let project = world.directory("data");
    world.handoff(&project, ["remote", "add", "box", &remote.invite("ada", &[])]).ok();
    world.write(&project.join("small"), "small\n");
    let earlier = world.hand_off(&project, ["--", "sh", "-c", "cat small > result"]);
    assert_eq!(world.finished(&project, &earlier)["outcome"], "succeeded");

    // The receipt for the next one is there before its turn comes.
    let first = world.hand_off(&project, ["--", "sleep", "infinity"]);
    let mut large = vec![0; LARGE_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut large);
    world.write(&project.join("large"), &large);
    let sum = world.ok(&project, "cksum", ["large"]);
    let refused = world.hand_off(&project, ["--", "cksum", "large"]);
    assert_eq!(world.show(&project, &refused)["state"], "queued");
    let disk = statvfs(remote.directory()).expect("statvfs");
    let filler = remote.directory().join("filler");
    let bytes = disk.f_bavail * disk.f_frsize - LEFT_BYTES;
    let file = File::create(&filler).expect("create");
    fallocate(&file, FallocateFlags::empty(), 0, bytes).expect("filled");
    drop(file);
    world.handoff(&project, ["stop", &first]).ok();

    let run = world.finished(&project, &refused);
    assert_eq!(run["outcome"], "refused", "{run:#}");
    let text = run.to_string();
    assert!(text.contains("disk of") && text.contains("is full"), "{run:#}");
    // The daemon is well, and what it had stored is whole.
    world.handoff(&project, ["pull", "--into", "worktree", &earlier]).ok();
    let beside = fs::read_dir(project.parent().expect("parent")).expect("list");
    let results = beside.filter_map(|entry| fs::read(entry.ok()?.path().join("result")).ok());
    assert_eq!(results.collect::<Vec<_>>(), [b"small\n"]);

    fs::remove_file(&filler).expect("room");
    let again = world.handoff(&project, ["-f", "--", "cksum", "large"]);
    assert_eq!(
        (again.code, String::from_utf8_lossy(&again.stdout).as_ref()),
        (0, &*sum),
        "{again}"
    );
}
