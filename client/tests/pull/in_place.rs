//! A result is put in place exactly, and undone bit for bit.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use handoff_client::pull::apply::Step;
use handoff_client::pull::plan::{Decision, LeftOut, PlanError};
use handoff_client::pull::undo::UndoError;

use crate::world::{Returned, World, assert_same, git, path, set_mode, write};

/// Runs the changes in the run's copy, pulls them, and expects the same here as there; then undoes
/// the pull and expects what was before.
fn check(prepare: impl FnOnce(&World), change: impl FnOnce(&World)) -> (World, Returned) {
    let world = World::with_repository();
    prepare(&world);
    let base = world.hand_off();
    let before = world.notice(&world.local());
    change(&world);
    let returned = world.harvest(&base);

    world.pull(&returned);
    let there = world.notice(&world.remote());
    let here = world.notice(&world.local());
    assert_same(&here.0, &there.0, "files");
    assert_eq!(here.1, there.1, "git");
    assert_eq!(world.decide(&returned).unwrap(), Decision::UpToDate);
    assert_eq!(world.git(&world.local(), &["fsck", "--full", "--strict", "--no-dangling"]), "");

    world.undo().unwrap();
    assert_eq!(world.notice(&world.local()), before);
    assert!(matches!(world.undo(), Err(UndoError::Nothing)));

    // And once more, so that what undo left behind does no harm.
    world.pull(&returned);
    assert_eq!(world.notice(&world.local()), here);
    (world, returned)
}

#[test]
fn committed_staged_and_unstaged_work_comes_back() {
    check(
        |world| world.write("notes.txt", "untracked\n"),
        |world| {
            let run = world.remote();
            write(&run.join("src/main.rs"), b"fn main() { todo!() }\n");
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
fn deletions_renames_and_modes_come_back() {
    check(
        |world| {
            world.write("a/one.txt", "1\n");
            world.write("a/two.txt", "2\n");
            world.write("tool.sh", "#!/bin/sh\n");
            world.git(&world.local(), &["add", "."]);
        },
        |world| {
            let run = world.remote();
            fs::remove_file(run.join("a/one.txt")).unwrap();
            fs::rename(run.join("a/two.txt"), run.join("three.txt")).unwrap();
            fs::remove_dir(run.join("a")).unwrap();
            set_mode(&run.join("tool.sh"), 0o755);
            set_mode(&run.join("README.md"), 0o600);
            world.git(&run, &["add", "-A", "."]);
        },
    );
}

#[test]
fn every_kind_of_entry_becomes_every_other() {
    check(
        |world| {
            let local = world.local();
            for name in ["file-link", "file-dir", "file-gone"] {
                world.write(name, "file\n");
            }
            for name in ["link-file", "link-dir", "link-gone", "link-link"] {
                symlink("README.md", local.join(name)).unwrap();
            }
            for name in ["dir-file", "dir-link", "dir-gone"] {
                world.write(&format!("{name}/in/side.txt"), "inside\n");
                fs::create_dir(local.join(name).join("empty")).unwrap();
            }
        },
        |world| {
            let run = world.remote();
            for name in [
                "file-link",
                "file-dir",
                "file-gone",
                "link-file",
                "link-dir",
                "link-gone",
                "link-link",
            ] {
                fs::remove_file(run.join(name)).unwrap();
            }
            for name in ["dir-file", "dir-link", "dir-gone"] {
                fs::remove_dir_all(run.join(name)).unwrap();
            }
            for name in ["link-file", "dir-file"] {
                write(&run.join(name), b"now a file\n");
            }
            for name in ["file-link", "dir-link", "link-link"] {
                symlink("src/main.rs", run.join(name)).unwrap();
            }
            for name in ["file-dir", "link-dir"] {
                write(&run.join(name).join("x/y.txt"), b"now a directory\n");
                fs::create_dir(run.join(name).join("empty")).unwrap();
            }
        },
    );
}

#[test]
fn names_that_are_no_text_and_empty_files_come_back() {
    check(
        |_| {},
        |world| {
            let run = world.remote();
            write(&run.join(OsStr::from_bytes(b"caf\xe9/\xff\n.txt")), b"");
            write(&run.join("with space and \"quotes\" \\ and\ttab"), b"x");
            fs::create_dir(run.join("empty")).unwrap();
            set_mode(&run.join("empty"), 0o700);
            symlink(OsStr::from_bytes(b"\xfe/nowhere"), run.join("dangling")).unwrap();
            write(&run.join("large.bin"), &vec![7; 3_000_000]);
            world.git(&run, &["add", "."]);
        },
    );
}

#[test]
fn read_only_directories_are_no_obstacle() {
    check(
        |world| {
            world.write("locked/a.txt", "a\n");
            world.write("locked/b.txt", "b\n");
            set_mode(&world.local().join("locked"), 0o555);
        },
        |world| {
            let run = world.remote();
            set_mode(&run.join("locked"), 0o755);
            write(&run.join("locked/a.txt"), b"changed\n");
            fs::remove_file(run.join("locked/b.txt")).unwrap();
            write(&run.join("sealed/c.txt"), b"c\n");
            set_mode(&run.join("locked"), 0o555);
            set_mode(&run.join("sealed"), 0o500);
        },
    );
}

#[test]
fn a_merge_with_conflicts_comes_back_in_progress() {
    let (world, _) = check(
        |world| {
            let local = world.local();
            world.git(&local, &["checkout", "-q", "-b", "other"]);
            world.write("README.md", "other\n");
            world.git(&local, &["commit", "-q", "-a", "-m", "other"]);
            world.git(&local, &["checkout", "-q", "main"]);
            world.write("README.md", "main\n");
            world.git(&local, &["commit", "-q", "-a", "-m", "main"]);
        },
        |world| {
            let run = world.remote();
            world.git(&run, &["merge", "-q", "other"]);
            // What git says in words about a merge is not brought back.
            for name in ["MERGE_MSG", "MERGE_MODE"] {
                fs::remove_file(run.join(".git").join(name)).unwrap();
            }
        },
    );
    assert!(world.git(&world.local(), &["status", "--porcelain"]).contains("UU README.md"));
}

#[test]
fn a_merge_that_the_run_finished_is_finished_here() {
    check(
        |world| {
            let local = world.local();
            world.git(&local, &["checkout", "-q", "-b", "other"]);
            world.write("README.md", "other\n");
            world.git(&local, &["commit", "-q", "-a", "-m", "other"]);
            world.git(&local, &["checkout", "-q", "main"]);
            world.write("README.md", "main\n");
            world.git(&local, &["commit", "-q", "-a", "-m", "main"]);
            world.git(&local, &["merge", "-q", "other"]);
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
fn a_tree_without_a_repository_comes_back() {
    let world = World::new();
    world.write("a/b.txt", "b\n");
    let base = world.hand_off();
    let before = world.notice(&world.local());
    write(&world.remote().join("a/c.txt"), b"c\n");
    fs::remove_file(world.remote().join("a/b.txt")).unwrap();
    let returned = world.harvest(&base);
    world.pull(&returned);
    assert_eq!(world.notice(&world.local()), world.notice(&world.remote()));
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

#[test]
fn ignored_files_stay_and_may_keep_a_directory() {
    let world = World::with_repository();
    world.write("target/debug/app", "built\n");
    world.write(".env", "SECRET=1\n");
    world.write("old/code.rs", "// old\n");
    world.write("old/target/x", "built\n");
    let base = world.hand_off();
    let run = world.remote();
    fs::remove_dir_all(run.join("old")).unwrap();
    fs::remove_dir_all(run.join("target")).unwrap();
    fs::remove_file(run.join(".env")).unwrap();
    let returned = world.harvest(&base);
    world.pull(&returned);
    assert_eq!(world.read("target/debug/app"), "built\n");
    assert_eq!(world.read(".env"), "SECRET=1\n");
    assert_eq!(world.read("old/target/x"), "built\n");
    assert!(!world.local().join("old/code.rs").exists());
    assert_eq!(world.decide(&returned).unwrap(), Decision::UpToDate);
}

#[test]
fn a_file_that_was_not_handed_off_is_never_overwritten() {
    let world = World::with_repository();
    world.write("target/keep", "mine\n");
    world.write(".env", "mine\n");
    let base = world.hand_off();
    let mut returned = world.harvest(&base);
    crate::world::file(&mut returned, ".env", 0o644, b"theirs\n");
    assert!(matches!(world.decide(&returned), Err(PlanError::Occupied(at)) if at == path(".env")));

    // A directory with such files cannot become a file.
    world.write("src/target/keep", "mine\n");
    let mut returned = world.harvest(&base);
    returned.result.entries.retain(|entry| !entry.path.starts_with(&path("src")));
    crate::world::file(&mut returned, "src", 0o644, b"a file\n");
    let error = world.decide(&returned).unwrap_err();
    assert!(
        matches!(&error, PlanError::Held { held, .. } if *held == path("src/target")),
        "{error}"
    );
    assert_eq!(world.read("src/target/keep"), "mine\n");
}

#[test]
fn submodules_and_nested_repositories_come_back_with_their_history() {
    let world = World::with_repository();
    let (home, local) = (world.home(), world.local());
    let library = home.join("library");
    fs::create_dir(&library).unwrap();
    world.git(&library, &["init", "-q"]);
    write(&library.join("lib.c"), b"int x;\n");
    world.git(&library, &["add", "."]);
    world.git(&library, &["commit", "-q", "-m", "library"]);
    world.git(&local, &["submodule", "-q", "add", library.to_str().unwrap(), "lib"]);
    world.git(&local, &["commit", "-q", "-m", "submodule"]);
    fs::create_dir_all(local.join("vendor/nested")).unwrap();
    world.git(&local.join("vendor/nested"), &["init", "-q"]);
    write(&local.join("vendor/nested/n.txt"), b"n\n");
    let base = world.hand_off();
    assert_eq!(base.repositories.len(), 3);
    // The copy's submodule must not point into the original.
    let run = world.remote();
    write(&run.join("lib/.git"), b"gitdir: ../.git/modules/lib\n");
    write(&run.join("lib/lib.c"), b"int y;\n");
    world.git(&run.join("lib"), &["commit", "-q", "-a", "-m", "y"]);
    world.git(&run, &["commit", "-q", "-a", "-m", "newer library"]);
    world.git(&run.join("vendor/nested"), &["add", "."]);
    world.git(&run.join("vendor/nested"), &["commit", "-q", "-m", "nested"]);
    fs::create_dir_all(run.join("fresh")).unwrap();
    world.git(&run.join("fresh"), &["init", "-q"]);
    write(&run.join("fresh/f.txt"), b"f\n");
    let returned = world.harvest(&base);
    let plan = world.plan(&returned);
    assert_eq!(plan.left_out, [LeftOut::NewRepository(path("fresh"))]);
    let before = git(&home, &local.join("lib"), &["rev-parse", "HEAD"]);
    world.pull(&returned);
    for at in ["lib", "vendor/nested"] {
        let tip = world.git(&run.join(at), &["rev-parse", "HEAD"]);
        assert_eq!(world.git(&local.join(at), &["rev-parse", "HEAD"]), tip);
        assert_eq!(world.git(&local.join(at), &["status", "--porcelain"]), "");
    }
    assert!(local.join("fresh/f.txt").exists() && !local.join("fresh/.git").exists());
    assert_eq!(world.decide(&returned).unwrap(), Decision::UpToDate);
    world.undo().unwrap();
    assert_eq!(git(&home, &local.join("lib"), &["rev-parse", "HEAD"]), before);
    assert_eq!(world.read("lib/lib.c"), "int x;\n");
}

#[test]
fn a_linked_worktree_takes_a_result() {
    let world = World::with_repository();
    let (home, local) = (world.home(), world.local());
    let main = home.join("main-copy");
    fs::rename(&local, &main).unwrap();
    world.git(&main, &["worktree", "add", "-q", "-b", "linked", local.to_str().unwrap()]);
    let base = world.hand_off();
    let run = world.remote();
    fs::remove_file(run.join(".git")).unwrap();
    world.git(&home, &["clone", "-q", "-b", "linked", main.to_str().unwrap(), "clone"]);
    fs::rename(home.join("clone/.git"), run.join(".git")).unwrap();
    world.git(&run, &["remote", "remove", "origin"]);
    write(&run.join("README.md"), b"linked\n");
    world.git(&run, &["commit", "-q", "-a", "-m", "linked"]);
    write(&run.join("README.md"), b"dirty\n");
    let returned = world.harvest(&base);
    let before = world.notice(&local);
    let main_before = world.notice(&main).0;
    world.pull(&returned);
    assert_eq!(world.read("README.md"), "dirty\n");
    let tip = world.git(&run, &["rev-parse", "HEAD"]);
    assert_eq!(world.git(&local, &["rev-parse", "linked"]), tip);
    assert_eq!(world.notice(&main).0, main_before);
    world.undo().unwrap();
    assert_eq!(world.notice(&local), before);
}

#[test]
fn a_repository_with_sha256_ids_takes_a_result() {
    let world = World::new();
    world.git(&world.local(), &["init", "-q", "--object-format=sha256"]);
    world.write("a.txt", "a\n");
    world.git(&world.local(), &["add", "."]);
    world.git(&world.local(), &["commit", "-q", "-m", "first"]);
    let base = world.hand_off();
    write(&world.remote().join("a.txt"), b"b\n");
    world.git(&world.remote(), &["commit", "-q", "-a", "-m", "second"]);
    let returned = world.harvest(&base);
    world.pull(&returned);
    assert_eq!(world.notice(&world.local()), world.notice(&world.remote()));
}

#[test]
fn what_changed_since_the_pull_is_named_and_kept() {
    let world = World::with_repository();
    let base = world.hand_off();
    let run = world.remote();
    write(&run.join("README.md"), b"theirs\n");
    write(&run.join("src/main.rs"), b"// theirs\n");
    world.git(&run, &["commit", "-q", "-a", "-m", "theirs"]);
    let returned = world.harvest(&base);
    world.pull(&returned);
    world.write("README.md", "mine\n");
    world.git(&world.local(), &["commit", "-q", "-a", "-m", "mine"]);
    let before = world.notice(&world.local());
    let error = world.undo().unwrap_err();
    assert!(error.is_conflict());
    let text = error.to_string();
    for what in ["`README.md`", "refs/heads/main of `.`", "the index of `.`"] {
        assert!(text.contains(what), "{text}");
    }
    assert!(!text.contains("main.rs"), "{text}");
    assert_eq!(world.notice(&world.local()), before);
}

#[test]
fn a_refreshed_index_does_not_keep_undo_from_working() {
    let world = World::with_repository();
    let base = world.hand_off();
    let before = world.notice(&world.local());
    write(&world.remote().join("README.md"), b"theirs\n");
    let returned = world.harvest(&base);
    world.pull(&returned);
    world.git(&world.local(), &["update-index", "--refresh"]);
    world.git(&world.local(), &["status"]);
    world.undo().unwrap();
    assert_eq!(world.notice(&world.local()), before);
}

#[test]
fn a_change_of_the_same_size_and_time_is_still_seen() {
    let world = World::with_repository();
    world.git(&world.local(), &["config", "core.checkStat", "minimal"]);
    world.git(&world.local(), &["config", "core.trustctime", "false"]);
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let set = |at: &std::path::Path| fs::File::open(at).unwrap().set_modified(old).unwrap();
    set(&world.local().join("README.md"));
    world.git(&world.local(), &["update-index", "--refresh"]);
    let base = world.hand_off();
    write(&world.remote().join("README.md"), b"jello\n");
    set(&world.remote().join("README.md"));
    let returned = world.harvest(&base);
    world.pull(&returned);
    let status = world.git(&world.local(), &["status", "--porcelain"]);
    assert_eq!(status, " M README.md\n");
}

#[test]
fn a_failure_on_the_way_puts_everything_back() {
    let world = World::with_repository();
    let base = world.hand_off();
    let run = world.remote();
    write(&run.join("README.md"), b"theirs\n");
    write(&run.join("zzz.txt"), b"last\n");
    world.git(&run, &["add", "."]);
    world.git(&run, &["commit", "-q", "-m", "theirs"]);
    let returned = world.harvest(&base);
    let plan = world.plan(&returned);
    let before = world.notice(&world.local());
    let obstacle = world.local().join("zzz.txt");
    let error = world
        .apply(&returned, &plan, &mut |step| {
            if *step == Step::Path(path("zzz.txt")) {
                fs::create_dir_all(obstacle.join("mine")).unwrap();
            }
        })
        .unwrap_err();
    // The obstacle is not ours to remove; everything else is as it was.
    assert!(obstacle.join("mine").exists(), "{error}");
    fs::remove_dir_all(&obstacle).unwrap();
    assert_eq!(world.notice(&world.local()), before);
    assert!(!world.local().join(".git/index.lock").exists());
}

#[test]
fn a_held_lock_stops_the_pull_before_it_changes_anything() {
    let world = World::with_repository();
    let base = world.hand_off();
    write(&world.remote().join("README.md"), b"theirs\n");
    let returned = world.harvest(&base);
    let plan = world.plan(&returned);
    let before = world.notice(&world.local());
    let lock = world.local().join(".git/index.lock");
    fs::write(&lock, "another git is at work").unwrap();
    let error = world.apply(&returned, &plan, &mut |_| {}).unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert!(error.to_string().contains("index.lock"), "{error}");
    assert_eq!(fs::read_to_string(&lock).unwrap(), "another git is at work");
    fs::remove_file(&lock).unwrap();
    assert_eq!(world.notice(&world.local()), before);
}
