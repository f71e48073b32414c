//! The main job: hand off, disconnect, look in, pull back, undo.

use std::fs;

use handoff_tests::{repository, world::World};

#[test]
fn a_command_is_handed_off_and_its_result_pulled_and_undone() {
    let world = World::new();
    let project = repository::busy(&world, 1 << 20);
    let script = "echo out; echo err >&2; echo changed >> deny.toml; rm untracked.txt; \
                  mkdir -p made/here; echo new > made/here/file; chmod +x made/here/file";
    let before = state(&world, &project);

    let said = world.handoff(&project, ["--", "sh", "-c", script]);
    assert!(said.stderr.contains("safe to disconnect"), "{said}");
    let id = said.ok().trim().to_owned();
    let run = world.finished(&project, &id);
    assert_eq!((run["outcome"].as_str(), run["exit_code"].as_i64()), (Some("succeeded"), Some(0)));

    let logs = world.handoff(&project, ["logs", &id]);
    assert_eq!((logs.stdout.as_slice(), logs.stderr.as_str()), (&b"out\n"[..], "err\n"));

    let diff = world.handoff(&project, ["diff", &id]).ok();
    assert!(diff.contains("+changed"), "{diff}");

    let pull = world.handoff(&project, ["pull", &id, "--yes"]);
    assert_eq!(pull.code, 0, "{pull}");
    let deny = fs::read_to_string(project.join("deny.toml")).expect("read");
    assert!(deny.ends_with("# unstaged\nchanged\n"), "{deny}");
    assert!(!project.join("untracked.txt").exists());
    assert_eq!(fs::read_to_string(project.join("made/here/file")).expect("read"), "new\n");
    assert_eq!(fs::read_to_string(project.join("target/built")).expect("read"), "ignored\n");
    assert_eq!(fs::read_to_string(project.join(".env")).expect("read"), "SECRET=1\n");

    world.handoff(&project, ["pull", &id]).ok();
    world.handoff(&project, ["undo"]).ok();
    assert_eq!(state(&world, &project), before, "undo restores what was there");
}

#[test]
fn a_pull_leaves_local_changes_alone_and_makes_a_worktree() {
    let world = World::new();
    let project = world.directory("app");
    world.git(&project, &["init", "-q"]);
    world.write(&project.join("a.txt"), "a\n");
    world.git(&project, &["add", "."]);
    world.git(&project, &["commit", "-qm", "first"]);
    let script = "echo theirs >> a.txt; git -c user.name=x -c user.email=x@y commit -qam second; \
                  echo dirty > dirty.txt";
    let id = world.hand_off(&project, ["-n", "second", "--", "sh", "-c", script]);
    assert_eq!(world.finished(&project, &id)["outcome"], "succeeded");

    world.write(&project.join("a.txt"), "mine\n");
    let before = state(&world, &project);
    world.handoff(&project, ["pull", "second"]).ok();
    assert_eq!(state(&world, &project), before, "nothing local changed");
    let worktree = world.home().join("app.handoff-second");
    assert_eq!(fs::read_to_string(worktree.join("a.txt")).expect("read"), "a\ntheirs\n");
    let status = world.git(&worktree, &["status", "--porcelain=v1", "--branch"]);
    assert_eq!(status, "## handoff/second\n?? dirty.txt\n");
}

#[test]
fn commits_come_back_in_place() {
    let world = World::ordinary();
    let project = world.directory("app");
    world.git(&project, &["init", "-q"]);
    world.git(&project, &["config", "user.name", "Test Er"]);
    world.git(&project, &["config", "user.email", "test@example.com"]);
    world.write(&project.join("a.txt"), "a\n");
    world.git(&project, &["add", "."]);
    world.git(&project, &["commit", "-qm", "first"]);
    let script = "echo b > b.txt; git add b.txt; git commit -qm second; git branch extra; \
                  echo c > c.txt; git add c.txt; echo d >> a.txt";
    let id = world.hand_off(&project, ["--", "sh", "-c", script]);
    assert_eq!(world.finished(&project, &id)["outcome"], "succeeded");
    world.handoff(&project, ["pull", &id]).ok();
    assert_eq!(world.git(&project, &["log", "--format=%s"]), "second\nfirst\n");
    assert_eq!(world.git(&project, &["status", "--porcelain=v1"]), " M a.txt\nA  c.txt\n");
    world.git(&project, &["fsck", "--strict"]);
    let refs = world.git(&project, &["for-each-ref", "--format=%(refname)", "refs/handoff"]);
    assert!(refs.contains("extra"), "{refs}");
}

#[test]
fn the_daemon_of_ones_own_is_the_one_that_handoffd_asks() {
    let world = World::ordinary();
    let project = world.directory("app");
    let list = || world.run(&project, "handoffd", ["credential", "ls"]);
    list().fails(6, &["no daemon is running in", "from a first handoff on"]);
    world.handoff(&project, ["-f", "-n", "first", "--", "true"]).ok();
    let own = world.local_daemon().display().to_string();
    let said = list();
    assert!(said.stderr.contains(&own), "{said}");
    said.ok();
    world.ok(&project, "handoffd", ["stop"]);
    list().fails(6, &[&own]);

    // Where another one was set up, which does not run now, nobody else is asked.
    world.ok(&project, "mkdir", ["-p".into(), world.home().join(".local/share/handoffd")]);
    list().fails(6, &[".local/share/handoffd"]);
}

/// Everything that a pull could touch, and what git makes of it.
fn state(world: &World, project: &std::path::Path) -> String {
    let script = "git status --porcelain=v2 --branch; git for-each-ref | grep -v refs/heads/handoff/; \
                  git diff; git diff --cached; git ls-files -s; \
                  find . -path ./.git -prune -o -printf '%p %y %m %l\\n' | LC_ALL=C sort; \
                  find . -path ./.git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum";
    world.ok(project, "sh", ["-c", script])
}
