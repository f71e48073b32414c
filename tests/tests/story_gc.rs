//! What removed runs held is given back, and nothing else.

use std::fs;

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
    remote.admin(&["gc", "--dry-run"]).ok();
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
