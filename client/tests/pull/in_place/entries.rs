//! Files, links and directories, of whatever name and mode.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use handoff_client::pull::plan::{Decision, PlanError};

use super::check;
use crate::world::{World, path, set_mode, write};

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
