//! Workspaces on a real disk: what a run finds is what the laptop had.

#[path = "../../tests/src/disk.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests that cross crates")]
mod disk;
#[path = "harvest/world.rs"]
#[expect(dead_code, reason = "shared with the tests of the harvest")]
mod world;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use disk::{Format, Tester};
use handoff_daemon::workspace::{Bound, Layout, Owner, WorkspaceError, materialise};
use handoff_proto::chunk::ChunkId;
use world::{World, commit, git, write};

/// A moment that no file has by itself.
const LONG_AGO: Duration = Duration::new(1_000_000_000, 123_456_789);

fn set_time(path: &std::path::Path) {
    let times = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + LONG_AGO);
    fs::File::open(path).expect("open").set_times(times).expect("times");
}

/// A laptop with everything that a tree can hold.
fn rich() -> World {
    let world = World::with_repository();
    let laptop = world.laptop();
    write(&laptop.join("run.sh"), "#!/bin/sh\n");
    fs::set_permissions(laptop.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("chmod");
    write(&laptop.join("secret"), "only mine");
    fs::set_permissions(laptop.join("secret"), fs::Permissions::from_mode(0o600)).expect("chmod");
    write(&laptop.join("large"), (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    symlink("/etc/passwd", laptop.join("absolute")).expect("link");
    symlink("nowhere", laptop.join("dir/dangling")).expect("link");
    fs::create_dir_all(laptop.join("empty/deeper")).expect("directory");
    write(&laptop.join(OsStr::from_bytes(b"odd\xff\x1b[31m\n name")), "odd");
    write(&laptop.join("read-only/file"), "x");
    for name in ["a.txt", "read-only/file", "read-only", "empty"] {
        set_time(&laptop.join(name));
    }
    fs::set_permissions(laptop.join("read-only"), fs::Permissions::from_mode(0o555))
        .expect("chmod");
    git(&laptop, &["add", "run.sh"]);
    git(&laptop, &["stash", "push", "-q", "--", "run.sh"]);
    git(&laptop, &["stash", "apply", "-q", "--index"]);
    world
}

#[test]
fn a_materialised_tree_is_captured_as_the_same_snapshot() {
    let world = rich();
    let snapshot = world.hand_off();
    assert_eq!(world.capture(&world.tree()), snapshot);
    git(&world.tree(), &["fsck", "--strict"]);
    let status =
        |tree: &std::path::Path| git(tree, &["status", "--porcelain=v2", "-z", "--branch"]);
    assert_eq!(status(&world.tree()), status(&world.laptop()));
    assert_eq!(git(&world.tree(), &["stash", "list"]), git(&world.laptop(), &["stash", "list"]));
}

#[test]
fn materialising_again_starts_over() {
    let world = rich();
    let snapshot = world.hand_off();
    write(&world.tree().join("left/over"), "from an attempt that was cut short");
    fs::remove_file(world.tree().join("a.txt")).expect("remove");
    world.materialise(&snapshot);
    assert_eq!(world.capture(&world.tree()), snapshot);
}

#[test]
fn what_the_harvest_compares_with_is_kept_beside_the_tree() {
    let world = rich();
    let snapshot = world.hand_off();
    let base = world.layout.base();
    assert_eq!(fs::read(base.manifest()).expect("manifest"), snapshot.encode());
    let index = fs::read(base.git(0).join("index")).expect("index");
    assert_eq!(index, fs::read(world.laptop().join(".git/index")).expect("index"));
    // A run has another uid than a root daemon, and sees these through a mount.
    for path in
        [base.directory().to_owned(), base.manifest(), base.git(0), base.git(0).join("index")]
    {
        let mode = fs::metadata(&path).expect("exists").mode();
        assert_eq!(mode & 0o044, 0o044, "{}", path.display());
    }
}

#[test]
fn a_missing_chunk_is_an_error_and_nothing_stays() {
    let world = rich();
    let snapshot = world.capture(&world.laptop());
    world.blobs.forget(&ChunkId::of(b"only mine"));
    let error =
        materialise(&world.blobs, &world.user, &snapshot, &world.layout, Owner::Daemon, None)
            .expect_err("a chunk is missing");
    assert!(matches!(error, WorkspaceError::Tree(_)), "{error:?}");
    assert!(!world.tree().exists());
}

/// What fills a small disk: its blocks, or as many files as it can have.
fn on_a_full_disk(test: &str, content: &[(usize, usize)]) {
    disk::on_disk((Format::Ext4, 8 << 20), Tester::Ordinary, (module_path!(), test), |place| {
        // Only the run is on the small disk.
        let world = World::in_memory().initialised();
        let small = world.capture(&world.laptop());
        let layout = Layout::new(place.join("run"));
        layout.create(Bound::Watch).expect("layout");
        let start = |snapshot| {
            materialise(&world.blobs, &world.user, snapshot, &layout, Owner::Daemon, None)
        };
        start(&small).expect("there is room");
        for (number, (files, size)) in content.iter().enumerate() {
            for file in 0..*files {
                let content = format!("{number} {file}").repeat(*size);
                write(&world.laptop().join(format!("{number}/{file}")), content);
            }
        }
        let large = world.capture(&world.laptop());
        let error = start(&large).expect_err("there is no room");
        assert!(matches!(error, WorkspaceError::DiskFull { .. }), "{error:?}");
        assert!(!layout.workspace().exists(), "nothing is left of it");
        start(&small).expect("there is room again");
        assert_eq!(world.capture(&layout.workspace()), small);
    });
}

#[test]
fn a_disk_without_blocks_leaves_nothing_and_the_next_attempt_succeeds() {
    let test = "a_disk_without_blocks_leaves_nothing_and_the_next_attempt_succeeds";
    on_a_full_disk(test, &[(1, 5 << 20)]);
}

#[test]
fn a_disk_without_inodes_leaves_nothing_and_the_next_attempt_succeeds() {
    let test = "a_disk_without_inodes_leaves_nothing_and_the_next_attempt_succeeds";
    on_a_full_disk(test, &[(3000, 0)]);
}

#[test]
fn the_tree_belongs_to_the_run_where_the_daemon_is_root() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may give files away");
        return;
    }
    let world = rich();
    let snapshot = world.capture(&world.laptop());
    let uid = 0x7000_0001;
    let owner = Owner::Own(std::num::NonZeroU32::new(uid).expect("uid"));
    materialise(&world.blobs, &world.user, &snapshot, &world.layout, owner, None)
        .expect("materialised");
    let mut to_visit = vec![world.tree()];
    while let Some(path) = to_visit.pop() {
        let meta = fs::symlink_metadata(&path).expect("exists");
        assert_eq!((meta.uid(), meta.gid()), (uid, uid), "{}", path.display());
        if meta.is_dir() {
            to_visit.extend(fs::read_dir(&path).expect("list").map(|e| e.expect("entry").path()));
        }
    }
}

#[test]
fn a_later_commit_does_not_change_the_kept_base() {
    let world = World::with_repository();
    let snapshot = world.hand_off();
    write(&world.tree().join("new"), "new");
    commit(&world.tree(), "second");
    assert_eq!(fs::read(world.layout.base().manifest()).expect("manifest"), snapshot.encode());
}
