//! What removed runs held is given back, and nothing else.

use std::fs;
use std::path::PathBuf;

use handoff_tests::remote::Remote;
use handoff_tests::world::World;
use serde_json::Value;

fn used(world: &World, project: &std::path::Path) -> u64 {
    let plan: Value = world.handoff(project, ["plan", "--json"]).json();
    plan["quota"]["bytes"].as_u64().expect("bytes")
}

#[test]
fn a_removed_run_gives_its_content_back_and_others_keep_theirs() {
    let world = World::new();
    let remote = Remote::start();
    let project = world.directory("data");
    world.handoff(&project, ["remote", "add", "box", &remote.invite("ada", &[])]).ok();
    world.write(&project.join("shared"), vec![1; 300_000]);
    let first = world.hand_off(&project, ["--", "sh", "-c", "echo new > result"]);
    drop(world.finished(&project, &first));
    world.write(&project.join("own"), vec![2; 700_000]);
    let second = world.hand_off(&project, ["--", "true"]);
    drop(world.finished(&project, &second));

    // Both runs are needed: there is nothing to remove.
    let counted = "would remove 0 blobs of 0 MiB and 0 shared files; trees are not counted\n";
    assert_eq!(remote.admin(&["gc", "--dry-run"]).ok(), counted);
    let before = used(&world, &project);
    assert!(before >= 1_000_000, "{before}");
    assert!(remote.admin(&["gc"]).ok().starts_with("removed 0 blobs"), "nothing is garbage");

    // By itself in the background, or by the operator, whoever comes first.
    world.handoff(&project, ["rm", &second]).ok();
    remote.admin(&["gc"]).ok();
    let after = used(&world, &project);
    assert!(after + 700_000 <= before, "{before} before, {after} after");

    // The first run is whole, its result too, and so is a daemon that starts again.
    world.handoff(&project, ["pull", "--into", "worktree", &first]).ok();
    let pulled = fs::read_dir(project.parent().expect("parent"))
        .expect("list")
        .filter_map(|entry| Some(entry.ok()?.path().join("result")))
        .find(|path| path.exists())
        .expect("the result");
    assert_eq!(fs::read_to_string(pulled).expect("result"), "new\n");

    // What was collected is sent again where it is wanted again.
    let third = world.hand_off(&project, ["--", "cksum", "own"]);
    assert_eq!(world.finished(&project, &third)["outcome"], "succeeded");
}

/// Where files that the runs of a user share blocks with are kept.
fn shared_files(remote: &Remote, user: &str) -> PathBuf {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot");
    remote.state().join("originals").join(boot.trim()).join(user)
}

#[test]
fn shared_files_that_cannot_be_removed_keep_no_content() {
    let (world, remote) = (World::new(), Remote::start());
    let project = world.directory("data");
    world.handoff(&project, ["remote", "add", "box", &remote.invite("ada", &[])]).ok();
    world.write(&project.join("own"), vec![2; 700_000]);
    let run = world.hand_off(&project, ["--", "true"]);
    drop(world.finished(&project, &run));
    let shared = shared_files(&remote, "ada");
    let stray = shared.join("a directory");
    fs::create_dir_all(&stray).expect("directory");
    let others: Vec<PathBuf> = (0..20).map(|number| shared.join(number.to_string())).collect();
    others.iter().for_each(|other| fs::write(other, "old").expect("shared file"));
    let before = used(&world, &project);
    world.handoff(&project, ["rm", &run]).ok();
    remote.admin(&["gc"]).fails(1, &["cannot remove shared files", "a directory"]);
    let after = used(&world, &project);
    assert!(after + 700_000 <= before, "{before} before, {after} after");
    assert!(others.iter().all(|other| !other.exists()), "one that cannot go keeps no other");
    fs::remove_dir(stray).expect("removed");
    assert!(remote.admin(&["gc"]).ok().starts_with("removed 0 blobs"), "nothing is garbage");
}

#[test]
fn what_is_left_of_shared_files_keeps_no_daemon_from_starting() {
    let (world, mut remote) = (World::new(), Remote::start());
    remote.stop();
    let earlier = remote.state().join("originals/an earlier start");
    fs::create_dir_all(earlier.join("ada")).expect("directory");
    fs::write(earlier.join("ada/original"), "old").expect("original");
    let stray = shared_files(&remote, "ada").join(".new-directory");
    fs::create_dir_all(&stray).expect("directory");
    remote.restart();
    let project = world.directory("data");
    world.handoff(&project, ["remote", "add", "box", &remote.invite("ada", &[])]).ok();
    let run = world.hand_off(&project, ["--", "true"]);
    assert_eq!(world.finished(&project, &run)["outcome"], "succeeded");
    assert!(stray.exists(), "it could not be removed");
    // Which waits for what goes on in the background.
    remote.stop();
    assert!(!earlier.exists());
}
