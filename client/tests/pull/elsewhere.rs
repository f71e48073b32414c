//! A result goes into a directory of its own, and nothing in the local tree changes.

use std::fs;
use std::path::Path;

use handoff_client::pull::elsewhere::{ElsewhereError, beside};
use handoff_client::pull::plan::{Decision, LeftOut};
use handoff_client::pull::unchanged::{Divergence, RepositoryPath};
use handoff_proto::manifest::{ChangeKind, RefName};

use crate::world::{Picture, Returned, World, assert_same, path, write};

/// A repository in which both sides changed.
fn diverged() -> (World, Returned) {
    let world = World::with_repository();
    world.write("kept.txt", "kept\n");
    let base = world.hand_off();
    let run = world.remote();
    write(&run.join("README.md"), b"theirs\n");
    world.git(&run, &["commit", "-q", "-a", "-m", "theirs"]);
    write(&run.join("src/main.rs"), b"// staged\n");
    world.git(&run, &["add", "src"]);
    write(&run.join("src/main.rs"), b"// not staged\n");
    write(&run.join("untracked/x.txt"), b"x\n");
    fs::create_dir(run.join("empty")).unwrap();
    let returned = world.harvest(&base);
    world.write("README.md", "mine\n");
    world.write("target/app", "built\n");
    world.git(&world.local(), &["add", "README.md"]);
    (world, returned)
}

/// The home without what a pull may add: objects, its own references and directories.
fn untouched(world: &World) -> Picture {
    world.picture(&|path| {
        let text = path.to_string_lossy();
        text == "state"
            || text == "run"
            || text == "project.handoff-fix"
            || text.starts_with("project/.git/objects")
            || text.starts_with("project/.git/worktrees")
            || text.starts_with("project/.git/refs/handoff")
            || text.starts_with("project/.git/refs/heads/handoff")
            || text.starts_with("project/.git/logs/refs/heads/handoff")
    })
}

#[test]
fn local_changes_send_the_result_to_a_worktree() {
    let (world, returned) = diverged();
    let Decision::Diverged(reasons) = world.decide(&returned).unwrap() else {
        panic!("the local tree changed");
    };
    let at = RepositoryPath(None);
    let changed = Divergence::Path(path("README.md"), ChangeKind::Modified);
    assert_eq!(reasons, [changed, Divergence::Index(at)]);

    let before = untouched(&world);
    let placed = world.pull_elsewhere(&returned).unwrap();
    assert_same(&untouched(&world), &before, "untouched");
    assert_eq!(placed.path, world.beside());
    assert_eq!(placed.branch, Some(RefName::parse(b"refs/heads/handoff/fix").unwrap()));

    let (here, there) = (world.notice(&world.beside()), world.notice(&world.remote()));
    let files = |picture: Picture| -> Picture {
        picture.into_iter().filter(|(path, _)| path != b".git").collect()
    };
    assert_same(&files(here.0), &files(there.0), "files");
    for words in
        [&["ls-files", "-s"][..], &["status", "--porcelain"], &["log", "--format=%H"], &["diff"]]
    {
        assert_eq!(
            world.git(&world.beside(), words),
            world.git(&world.remote(), words),
            "{words:?}"
        );
    }
    assert_eq!(world.git(&world.beside(), &["branch", "--show-current"]), "handoff/fix\n");

    world.undo().unwrap();
    assert!(!world.beside().exists());
    assert_same(&untouched(&world), &before, "untouched");
    assert_eq!(world.git(&world.local(), &["for-each-ref", "refs/heads/handoff"]), "");
    assert_eq!(world.git(&world.local(), &["worktree", "list"]).lines().count(), 1);
}

#[test]
fn what_is_there_already_is_left_alone() {
    let (world, returned) = diverged();
    write(&world.beside().join("mine.txt"), b"mine\n");
    let before = world.picture(&|path| path == Path::new("state"));
    let error = world.pull_elsewhere(&returned).unwrap_err();
    assert!(matches!(error, ElsewhereError::Exists(_)) && error.is_conflict());
    assert_same(&world.picture(&|path| path == Path::new("state")), &before, "all");

    fs::remove_dir_all(world.beside()).unwrap();
    world.git(&world.local(), &["branch", "handoff/fix"]);
    let error = world.pull_elsewhere(&returned).unwrap_err();
    assert!(matches!(error, ElsewhereError::BranchExists(_)) && error.is_conflict());
    assert!(!world.beside().exists());

    // A branch of this name leaves no room for ours.
    world.git(&world.local(), &["branch", "-m", "handoff/fix", "handoff"]);
    let error = world.pull_elsewhere(&returned).unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert!(!world.beside().exists());
    assert!(matches!(world.undo(), Err(error) if error.to_string().contains("no pull")));
}

#[test]
fn a_worktree_that_somebody_worked_in_is_not_removed() {
    type Change = fn(&World);
    let changes: [(&str, Change); 5] = [
        ("README.md", |world| write(&world.beside().join("README.md"), b"mine\n")),
        ("new.txt", |world| write(&world.beside().join("new.txt"), b"mine\n")),
        ("deep.txt", |world| write(&world.beside().join("src/deep.txt"), b"mine\n")),
        ("HEAD", |world| {
            world.git(&world.beside(), &["commit", "-q", "--allow-empty", "-m", "mine"]);
        }),
        ("index", |world| drop(world.git(&world.beside(), &["add", "untracked"]))),
    ];
    for (name, change) in changes {
        let (world, returned) = diverged();
        world.pull_elsewhere(&returned).unwrap();
        change(&world);
        let before = world.notice(&world.beside());
        let error = world.undo().unwrap_err();
        assert!(error.is_conflict() && error.to_string().contains(name), "{name}: {error}");
        assert_eq!(world.notice(&world.beside()), before);
    }
}

#[test]
fn a_tree_without_a_repository_goes_to_a_plain_directory() {
    let world = World::new();
    world.write("a.txt", "a\n");
    let base = world.hand_off();
    write(&world.remote().join("b/c.txt"), b"c\n");
    let returned = world.harvest(&base);
    world.write("a.txt", "mine\n");
    let placed = world.pull_elsewhere(&returned).unwrap();
    assert_eq!(placed.branch, None);
    assert_eq!(world.notice(&world.beside()), world.notice(&world.remote()));
    assert_eq!(world.read("a.txt"), "mine\n");
    world.undo().unwrap();
    assert!(!world.beside().exists());
}

#[test]
fn nested_repositories_get_working_trees_of_their_own() {
    let world = World::with_repository();
    let nested = world.local().join("vendor/nested");
    fs::create_dir_all(&nested).unwrap();
    world.git(&nested, &["init", "-q"]);
    write(&nested.join("n.txt"), b"n\n");
    world.git(&nested, &["add", "."]);
    world.git(&nested, &["commit", "-q", "-m", "nested"]);
    let base = world.hand_off();
    let run = world.remote().join("vendor/nested");
    write(&run.join("n.txt"), b"changed\n");
    world.git(&run, &["commit", "-q", "-a", "-m", "changed"]);
    let returned = world.harvest(&base);
    world.write("README.md", "mine\n");
    let before = untouched(&world);
    let placed = world.pull_elsewhere(&returned).unwrap();
    assert_eq!(placed.left_out, []);
    let there = world.beside().join("vendor/nested");
    assert_eq!(
        world.git(&there, &["log", "--format=%H"]),
        world.git(&run, &["log", "--format=%H"])
    );
    assert_eq!(world.git(&there, &["status", "--porcelain"]), "");
    world.undo().unwrap();
    assert!(!world.beside().exists());
    let in_nested = |path: &&Vec<u8>| !path.starts_with(b"project/vendor/nested/.git/");
    let after = untouched(&world);
    let (before, after): (Vec<_>, Vec<_>) =
        (before.keys().filter(in_nested).collect(), after.keys().filter(in_nested).collect());
    assert_eq!(after, before);
}

#[test]
fn a_repository_that_is_gone_leaves_its_files() {
    let (world, returned) = diverged();
    fs::remove_dir_all(world.local().join(".git")).unwrap();
    let placed = world.pull_elsewhere(&returned).unwrap();
    assert_eq!(placed.branch, None);
    assert_eq!(placed.left_out, [LeftOut::Repository(RepositoryPath(None))]);
    assert!(world.beside().join("untracked/x.txt").exists());
    assert!(!world.beside().join(".git").exists());
}

#[test]
fn a_run_that_ended_without_a_commit_or_branch_gets_a_worktree() {
    let world = World::new();
    world.git(&world.local(), &["init", "-q"]);
    world.write("a.txt", "a\n");
    let base = world.hand_off();
    world.git(&world.remote(), &["add", "."]);
    let returned = world.harvest(&base);
    world.write("a.txt", "mine\n");
    world.pull_elsewhere(&returned).unwrap();
    assert_eq!(world.git(&world.beside(), &["status", "--porcelain"]), "A  a.txt\n");
    world.undo().unwrap();
    assert!(!world.beside().exists());

    let world = World::with_repository();
    let base = world.hand_off();
    world.git(&world.remote(), &["checkout", "-q", "--detach"]);
    world.git(&world.remote(), &["commit", "-q", "--allow-empty", "-m", "detached"]);
    let returned = world.harvest(&base);
    world.write("README.md", "mine\n");
    world.pull_elsewhere(&returned).unwrap();
    let tip = world.git(&world.remote(), &["rev-parse", "HEAD"]);
    assert_eq!(world.git(&world.local(), &["rev-parse", "handoff/fix"]), tip);
}

#[test]
fn a_conflict_in_the_run_is_one_in_the_worktree() {
    let world = World::with_repository();
    world.commit_on_two_branches();
    let base = world.hand_off();
    world.git(&world.remote(), &["merge", "-q", "other"]);
    let returned = world.harvest(&base);
    world.write("mine.txt", "mine\n");
    world.pull_elsewhere(&returned).unwrap();
    assert_eq!(world.git(&world.beside(), &["status", "--porcelain"]), "UU README.md\n");
    let merging = world.git(&world.beside(), &["rev-parse", "MERGE_HEAD"]);
    assert_eq!(merging, world.git(&world.local(), &["rev-parse", "other"]));
}

#[test]
fn the_directory_beside_is_named_after_tree_and_run() {
    let there = beside(Path::new("/home/ada/project"), "fix");
    assert_eq!(there, Path::new("/home/ada/project.handoff-fix"));
}
