//! The run sees exactly what the user saw: same output of the same commands at the same path.

use std::path::Path;

use handoff_tests::{
    repository::{self, PARITY},
    world::World,
};

/// The size of the large file in the repository of the whole story.
const LARGE_BYTES: usize = 300 << 20;

fn prints_the_same(world: &World, directory: &Path) {
    let local = world.ok(directory, "sh", ["-c", PARITY]);
    let run = world.handoff(directory, ["--follow", "--", "sh", "-c", PARITY]);
    assert_eq!(run.code, 0, "{run}");
    let remote = String::from_utf8_lossy(&run.stdout);
    for (number, (local, remote)) in local.lines().zip(remote.lines()).enumerate() {
        assert_eq!(local, remote, "line {number}");
    }
    assert_eq!(local.len(), remote.len());
}

#[test]
fn a_busy_repository_looks_the_same_in_the_run() {
    let world = World::new();
    let project = repository::busy(&world, LARGE_BYTES);
    prints_the_same(&world, &project);
}

#[test]
fn a_busy_repository_looks_the_same_for_an_ordinary_user() {
    let world = World::ordinary();
    let project = repository::busy(&world, 1 << 20);
    prints_the_same(&world, &project);
}

#[test]
fn a_directory_without_git_looks_the_same_in_the_run() {
    let world = World::new();
    let plain = repository::plain(&world);
    prints_the_same(&world, &plain);
}

#[test]
fn a_commit_in_the_run_is_the_commit_that_it_would_be_here() {
    let world = World::new();
    let project = repository::busy(&world, 1 << 10);
    let script = "git checkout --ours conflict.txt && git add conflict.txt && \
                  GIT_AUTHOR_DATE='2026-01-02T03:04:05+0100' \
                  GIT_COMMITTER_DATE='2026-01-02T03:04:05+0100' git commit -m merged";
    let remote = world.handoff(&project, ["--follow", "--", "sh", "-c", script]).ok();
    let local = world.ok(&project, "sh", ["-c", script]);
    assert_eq!(local, remote);
}
