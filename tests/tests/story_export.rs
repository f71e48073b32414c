//! A tree goes into a file and comes back, without any daemon.

use std::{
    fs,
    path::{Path, PathBuf},
};

use handoff_tests::{repository, world::World};

/// Everything that git and the file system say about a tree.
fn state(world: &World, tree: &Path) -> String {
    world.ok(tree, "sh", ["-c", repository::PARITY])
}

#[test]
fn a_repository_comes_back_with_everything() {
    let world = World::new();
    let project = repository::busy(&world, 3 << 20);
    let before = state(&world, &project);
    let file = world.home().join("tree.handoff");
    let said = world.handoff(&project, ["export".as_ref(), file.as_os_str()]);
    assert_eq!(said.code, 0, "{said}");
    // At the same path, as the parity of paths asks for.
    fs::rename(&project, world.home().join("gone")).expect("move");
    let into = world.handoff(
        &world.home(),
        ["import".as_ref(), file.as_os_str(), "--into".as_ref(), project.as_os_str()],
    );
    assert_eq!(into.ok().trim_end(), project.to_str().expect("text"));
    assert_eq!(state(&world, &project), before);
    world.ok(&project, "git", ["fsck", "--no-dangling"]);
    assert!(!project.join("target").exists(), "ignored files do not travel");
}

#[test]
fn a_pipe_carries_a_tree_and_nothing_is_overwritten() {
    let world = World::ordinary();
    let plain = repository::plain(&world);
    let before = state(&world, &plain);
    let there = world.directory("there");
    let script = "handoff -C ../plain export - | handoff import -";
    world.ok(&there, "sh", ["-c", script]);
    assert_eq!(state(&world, &there.join("plain")).lines().skip(1).collect::<Vec<_>>(), {
        before.lines().skip(1).collect::<Vec<_>>()
    });
    let again = world.run(&there, "sh", ["-c", script]);
    again.fails(5, &["./plain exists already", "--into DIR"]);
    let names: Vec<PathBuf> =
        fs::read_dir(&there).expect("list").map(|entry| entry.expect("entry").path()).collect();
    assert_eq!(names, [there.join("plain")], "nothing else is left");
    world.handoff(&plain, ["export", "notes.txt"]).fails(5, &["notes.txt exists already"]);
    world.handoff(&there, ["import", "none"]).fails(8, &["cannot open none"]);
    world.handoff(&there, ["import", "plain/notes.txt"]).fails(1, &["no complete bundle"]);
}

/// What the first version wrote; users keep such files for ever.
#[test]
fn a_bundle_of_the_first_version_is_read() {
    let world = World::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/export-1.handoff");
    let said = world.handoff(&world.home(), ["import".as_ref(), golden.as_os_str()]);
    assert_eq!(said.ok(), "./app\n");
    let app = world.home().join("app");
    let listing = world.ok(
        &app,
        "sh",
        ["-c", "find . -path ./.git -prune -o -printf '%p %y %m %T@ %l\n' | LC_ALL=C sort"],
    );
    assert_eq!(
        listing,
        ". d 755 1767319445.1234567890 \n\
         ./a.txt f 644 1767319445.1234567890 \n\
         ./empty d 700 1767319445.1234567890 \n\
         ./link l 777 1767319445.1234567890 a.txt\n\
         ./run.sh f 755 1767319445.1234567890 \n\
         ./staged.txt f 644 1767319445.1234567890 \n"
    );
    assert_eq!(fs::read_to_string(app.join("a.txt")).expect("read"), "first\nsecond\n");
    let status = world.git(&app, &["status", "--porcelain=v1", "--branch"]);
    assert_eq!(status, "## main\n M a.txt\nA  staged.txt\n");
    assert_eq!(world.git(&app, &["log", "--format=%s"]), "first\n");
}
