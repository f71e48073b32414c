//! What git knows of a repository: commits, branches, the index, what is in progress.

use std::fs;

use handoff_client::pull::plan::Decision;

use super::check;
use crate::world::{World, write};

#[test]
fn committed_staged_and_unstaged_work_comes_back() {
    check(
        |world| world.write("notes.txt", "untracked\n"),
        |world| {
            let run = world.remote();
            write(&run.join("src/main.rs"), b"fn main() { work(); }\n");
            write(&run.join("src/new.rs"), b"// new\n");
            world.git(&run, &["add", "src"]);
            world.git(&run, &["commit", "-q", "-m", "second"]);
            write(&run.join("README.md"), b"staged\n");
            world.git(&run, &["add", "README.md"]);
            write(&run.join("README.md"), b"unstaged\n");
            write(&run.join("notes.txt"), b"changed\n");
            write(&run.join("more/deep/er.txt"), b"untracked\n");
        },
    );
}

#[test]
fn a_merge_with_conflicts_comes_back_in_progress() {
    let (world, _) = check(World::commit_on_two_branches, |world| {
        let run = world.remote();
        world.git(&run, &["merge", "-q", "other"]);
        // What git says in words about a merge is not brought back.
        for name in ["MERGE_MSG", "MERGE_MODE"] {
            fs::remove_file(run.join(".git").join(name)).unwrap();
        }
    });
    assert!(world.git(&world.local(), &["status", "--porcelain"]).contains("UU README.md"));
}

#[test]
fn a_merge_that_the_run_finished_is_finished_here() {
    check(
        |world| {
            world.commit_on_two_branches();
            world.git(&world.local(), &["merge", "-q", "other"]);
        },
        |world| {
            let run = world.remote();
            write(&run.join("README.md"), b"both\n");
            world.git(&run, &["add", "README.md"]);
            world.git(&run, &["commit", "-q", "--no-edit"]);
        },
    );
}

#[test]
fn a_cherry_pick_and_a_revert_come_back_in_progress() {
    for verb in ["cherry-pick", "revert"] {
        check(
            |world| {
                for text in ["one\n", "two\n", "three\n"] {
                    world.write("README.md", text);
                    world.git(&world.local(), &["commit", "-q", "-a", "-m", text]);
                }
            },
            |world| {
                let run = world.remote();
                world.git(&run, &[verb, "HEAD~1"]);
                fs::remove_file(run.join(".git/MERGE_MSG")).unwrap();
            },
        );
    }
}

#[test]
fn head_may_end_detached_or_on_a_new_branch() {
    check(
        |_| {},
        |world| {
            let run = world.remote();
            world.git(&run, &["checkout", "-q", "--detach"]);
            write(&run.join("README.md"), b"detached\n");
            world.git(&run, &["commit", "-q", "-a", "-m", "detached"]);
        },
    );
    check(
        |world| drop(world.git(&world.local(), &["checkout", "-q", "--detach"])),
        |world| {
            let run = world.remote();
            world.git(&run, &["checkout", "-q", "-b", "topic/new"]);
            write(&run.join("README.md"), b"topic\n");
            world.git(&run, &["commit", "-q", "-a", "-m", "topic"]);
        },
    );
}

#[test]
fn a_first_commit_comes_back() {
    let world = World::new();
    world.git(&world.local(), &["init", "-q"]);
    world.write("a.txt", "a\n");
    let base = world.hand_off();
    let before = world.notice(&world.local());
    world.git(&world.remote(), &["add", "."]);
    world.git(&world.remote(), &["commit", "-q", "-m", "first"]);
    let returned = world.harvest(&base);
    world.pull(&returned);
    assert_eq!(world.notice(&world.local()).1, world.notice(&world.remote()).1);
    world.undo().unwrap();
    assert_eq!(world.notice(&world.local()), before);
}

#[test]
fn flags_of_index_entries_come_back() {
    check(
        |world| {
            world.write("kept.txt", "kept\n");
            world.git(&world.local(), &["add", "."]);
            world.git(&world.local(), &["update-index", "--skip-worktree", "kept.txt"]);
        },
        |world| {
            let run = world.remote();
            write(&run.join("intended.txt"), b"not yet\n");
            world.git(&run, &["add", "-N", "intended.txt"]);
            world.git(&run, &["update-index", "--no-skip-worktree", "kept.txt"]);
            world.git(&run, &["update-index", "--assume-unchanged", "README.md"]);
        },
    );
}

#[test]
fn other_branches_and_tags_are_kept_apart() {
    let world = World::with_repository();
    let local = world.local();
    world.git(&local, &["branch", "stays"]);
    let base = world.hand_off();
    let run = world.remote();
    world.git(&run, &["checkout", "-q", "-b", "side"]);
    write(&run.join("README.md"), b"side\n");
    world.git(&run, &["commit", "-q", "-a", "-m", "side"]);
    world.git(&run, &["tag", "v1"]);
    world.git(&run, &["checkout", "-q", "main"]);
    world.git(&run, &["update-ref", "refs/remotes/origin/x", "HEAD"]);
    let returned = world.harvest(&base);
    world.pull(&returned);
    let refs = world.git(&local, &["for-each-ref", "--format=%(refname)"]);
    let expected = [
        "refs/handoff/fix/side",
        "refs/handoff/fix/tags/v1",
        "refs/heads/main",
        "refs/heads/stays",
    ];
    assert_eq!(refs.lines().collect::<Vec<_>>(), expected);
    let side = world.git(&run, &["rev-parse", "side"]);
    assert_eq!(world.git(&local, &["rev-parse", "refs/handoff/fix/side"]), side);
    assert_eq!(world.decide(&returned).unwrap(), Decision::UpToDate);
    world.undo().unwrap();
    let refs = world.git(&local, &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs.lines().collect::<Vec<_>>(), ["refs/heads/main", "refs/heads/stays"]);
}
