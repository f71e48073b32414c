//! Originals on real file systems that let files share blocks, as root and as an ordinary user: what
//! a run finds is the snapshot, what it costs is next to nothing, and what it writes stays its own.

#[path = "../../tests/src/disk.rs"]
#[expect(unreachable_pub, reason = "shared with the tests that cross crates")]
mod disk;
#[path = "originals/killed.rs"]
mod killed;
#[path = "harvest/world.rs"]
#[expect(dead_code, reason = "shared with the tests of the harvest")]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use disk::{Format, Tester, on_disk};
use handoff_daemon::store::UserName;
use handoff_daemon::workspace::{
    Bound, Layout, OriginalIds, Originals, Owner, Sharing, WorkspaceError, materialise,
};
use handoff_proto::manifest::SnapshotManifest;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use world::{World, write};

/// The least that xfs makes do with.
const DISK_BYTES: u64 = 300 << 20;

const LARGE: usize = 24 << 20;

/// More than metadata takes, and much less than content does.
const LITTLE: u64 = 2 << 20;

/// A test on each file system that lets files share blocks, for each kind of daemon.
macro_rules! on_disks {
    ($name:ident) => {
        mod $name {
            use super::{DISK_BYTES, Format, Tester, on_disk};

            #[test]
            fn xfs_as_root() {
                let test = (module_path!(), "xfs_as_root");
                on_disk((Format::Xfs, DISK_BYTES), Tester::Root, test, super::$name);
            }

            #[test]
            fn xfs_as_an_ordinary_user() {
                let test = (module_path!(), "xfs_as_an_ordinary_user");
                on_disk((Format::Xfs, DISK_BYTES), Tester::Ordinary, test, super::$name);
            }

            #[test]
            fn btrfs_as_root() {
                let test = (module_path!(), "btrfs_as_root");
                on_disk((Format::Btrfs, DISK_BYTES), Tester::Root, test, super::$name);
            }

            #[test]
            fn btrfs_as_an_ordinary_user() {
                let test = (module_path!(), "btrfs_as_an_ordinary_user");
                on_disk((Format::Btrfs, DISK_BYTES), Tester::Ordinary, test, super::$name);
            }
        }
    };
}

on_disks!(a_known_tree_costs_no_blocks_and_what_a_run_writes_stays_its_own);
on_disks!(an_original_that_is_not_as_it_was_left_is_made_again);
on_disks!(whatever_runs_write_a_later_one_finds_its_snapshot);
on_disks!(a_full_disk_leaves_what_was_there);
on_disks!(users_share_nothing);

/// Bytes that cannot be compressed and differ from seed to seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn lay_out(laptop: &Path) {
    write(&laptop.join("large"), noise(1, LARGE));
    write(&laptop.join("dir/middle"), noise(2, 100_000));
    fs::set_permissions(laptop.join("dir/middle"), fs::Permissions::from_mode(0o550))
        .expect("mode");
    write(&laptop.join("small"), "small");
    symlink("large", laptop.join("link")).expect("link");
    for number in 0..100 {
        write(&laptop.join(format!("many/{number}")), noise(number, 20_000));
    }
}

/// The directory of a run of this number, empty at first.
fn run(world: &World, number: usize) -> Layout {
    let layout = Layout::new(world.path(&format!("runs/{number}")));
    layout.create(Bound::Watch).expect("layout");
    layout
}

/// Whose a run's files are: a daemon that is root gives them to a user of the run's own.
fn owner() -> Owner {
    const UID: NonZeroU32 = NonZeroU32::new(0x7000_0001).expect("not 0");
    if rustix::process::geteuid().is_root() { Owner::Own(UID) } else { Owner::Daemon }
}

fn start(
    world: &World,
    snapshot: &SnapshotManifest,
    originals: &Originals,
    number: usize,
) -> Result<PathBuf, WorkspaceError> {
    let layout = run(world, number);
    let (blobs, user) = (&world.blobs, &world.user);
    materialise(blobs, user, snapshot, &layout, owner(), Some(originals))?;
    Ok(layout.workspace())
}

/// Free bytes once all that was written is on the disk.
fn free(disk: &Path) -> u64 {
    let directory = fs::File::open(disk).expect("open");
    rustix::fs::syncfs(&directory).expect("sync");
    let found = rustix::fs::fstatvfs(&directory).expect("statvfs");
    found.f_bfree * found.f_frsize
}

/// The files with the originals of the world's only user.
fn kept(world: &World) -> Vec<PathBuf> {
    kept_of(world, "ada")
}

/// The files with a user's originals.
fn kept_of(world: &World, user: &str) -> Vec<PathBuf> {
    let boots = fs::read_dir(world.path("originals")).into_iter().flatten().flatten();
    let users = boots.flat_map(|boot| fs::read_dir(boot.path().join(user)).into_iter().flatten());
    users.map(|entry| entry.expect("entry").path()).collect()
}

/// Where a file is on the disk.
fn extents(path: &Path) -> Vec<String> {
    let listed = Command::new("filefrag").arg("-v").arg(path).output();
    let listed = listed.expect("filefrag: install e2fsprogs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let extents: Vec<_> = listed.lines().filter(|line| line.contains("..")).collect();
    assert!(!extents.is_empty(), "{listed}");
    extents.into_iter().map(ToOwned::to_owned).collect()
}

fn a_known_tree_costs_no_blocks_and_what_a_run_writes_stays_its_own(disk: &Path) {
    let world = World::new();
    lay_out(&world.laptop());
    let snapshot = world.capture(&world.laptop());
    let originals = Originals::new(&world.path(""));
    let trees: Vec<PathBuf> = (0..5)
        .map(|number| {
            let before = free(disk);
            let tree = start(&world, &snapshot, &originals, number).expect("started");
            let cost = before.saturating_sub(free(disk));
            let most = if number == 0 { LARGE as u64 + 3 * LITTLE } else { LITTLE };
            assert!(cost < most, "run {number} took {cost} bytes");
            tree
        })
        .collect();
    let extents = extents(&trees[4].join("large"));
    assert!(extents.iter().all(|line| line.contains("shared")), "{extents:?}");

    // Each way in which a run can write its file.
    let large = |number: usize| trees[number].join("large");
    let writable = |path: &Path| fs::File::options().write(true).open(path).expect("open");
    writable(&large(0)).write_all_at(b"changed", 1 << 20).expect("write");
    writable(&large(1)).set_len(7).expect("truncate");
    fs::set_permissions(large(2), fs::Permissions::from_mode(0o600)).expect("mode");
    fs::rename(large(2), trees[2].join("moved")).expect("rename");
    fs::remove_file(large(3)).expect("remove");
    assert_eq!(world.capture(&trees[4]), snapshot, "a run at the same time");
    let later = start(&world, &snapshot, &originals, 5).expect("started");
    assert_eq!(world.capture(&later), snapshot, "a later run");
    let daemon = rustix::process::geteuid().as_raw();
    let uid = fs::metadata(later.join("large")).expect("large").uid();
    assert_eq!(uid, owner().host_uid().unwrap_or(daemon));
    for original in kept(&world) {
        let meta = fs::metadata(&original).expect("original");
        assert_eq!(
            (meta.mode() & 0o7777, meta.nlink()),
            (0o400, 1),
            "read-only, and no run has it"
        );
    }
}

fn an_original_that_is_not_as_it_was_left_is_made_again(_disk: &Path) {
    let world = World::new();
    write(&world.laptop().join("large"), noise(1, 100_000));
    let snapshot = world.capture(&world.laptop());
    let originals = Originals::new(&world.path(""));
    start(&world, &snapshot, &originals, 0).expect("started");
    let original = kept(&world).pop().expect("an original");
    let whole = fs::read(&original).expect("read");
    let acts: [&dyn Fn(&Path); 6] = [
        &|path| fs::remove_file(path).expect("remove"),
        &|path| {
            fs::remove_file(path).expect("remove");
            write(path, "shorter");
            fs::set_permissions(path, fs::Permissions::from_mode(0o400)).expect("mode");
        },
        &|path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("mode"),
        &|path| fs::hard_link(path, world.path("second name")).expect("link"),
        &|path| {
            fs::remove_file(path).expect("remove");
            symlink("/etc/passwd", path).expect("link");
        },
        &|path| {
            let mode = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
            mode(0o600).expect("mode");
            write(path, noise(2, whole.len()));
            mode(0o400).expect("mode");
        },
    ];
    for (number, act) in acts.iter().enumerate() {
        act(&original);
        let tree = start(&world, &snapshot, &originals, number).expect("started");
        assert_eq!(world.capture(&tree), snapshot, "act {number}");
        assert_eq!(kept(&world), std::slice::from_ref(&original), "act {number}");
        assert_eq!(fs::read(&original).expect("read"), whole, "act {number}");
    }
}

/// What happens on a daemon: a run starts on a tree of these files, then an earlier one writes, and
/// perhaps content is collected that only the first so many runs needed.
type Day = (BTreeMap<u8, (u64, usize)>, u8, Option<u8>);

fn whatever_runs_write_a_later_one_finds_its_snapshot(_disk: &Path) {
    let sizes = prop::sample::select(vec![0, 5, (16 << 10) - 1, 16 << 10, 100_000, 600_000]);
    let files = prop::collection::btree_map(0..4_u8, (0..3_u64, sizes), 0..4);
    let days = prop::collection::vec((files, any::<u8>(), prop::option::of(any::<u8>())), 1..6);
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&days, |days: Vec<Day>| {
            let world = World::new();
            let originals = Originals::new(&world.path(""));
            let mut known = Vec::new();
            for (number, (files, writer, collected)) in days.iter().enumerate() {
                fs::remove_dir_all(world.laptop()).expect("removed");
                fs::create_dir(world.laptop()).expect("laptop");
                for (name, (seed, size)) in files {
                    write(&world.laptop().join(name.to_string()), noise(*seed, *size));
                }
                let snapshot = world.capture(&world.laptop());
                let tree = start(&world, &snapshot, &originals, number).expect("started");
                prop_assert_eq!(&world.capture(&tree), &snapshot);
                known.push((tree, snapshot));
                let (earlier, _) = &known[usize::from(*writer) % known.len()];
                for entry in fs::read_dir(earlier).expect("list") {
                    let path = entry.expect("entry").path();
                    write(&path, noise(u64::from(*writer), 70_000));
                }
                if let Some(first) = collected {
                    let mut needed = OriginalIds::default();
                    let stay = known.iter().skip(usize::from(*first) % known.len());
                    stay.for_each(|(_, snapshot)| needed.add(&snapshot.entries));
                    let garbage = originals.garbage(&world.user, &needed).expect("listed");
                    originals.remove(&garbage).expect("removed");
                }
            }
            for (number, (_, snapshot)) in known.iter().enumerate() {
                let tree = start(&world, snapshot, &originals, 100 + number).expect("started");
                prop_assert_eq!(&world.capture(&tree), snapshot);
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Fills a disk until only so many bytes are free; the directory can be removed again.
fn fill(disk: &Path, directory: &Path, left: usize) {
    const PIECE: usize = 1 << 20;
    fs::create_dir(directory).expect("filler");
    let write = |number: usize| fs::write(directory.join(number.to_string()), noise(9, PIECE));
    let pieces = (0..1000).take_while(|number| write(*number).is_ok()).count();
    for number in pieces - left / PIECE..=pieces {
        drop(fs::remove_file(directory.join(number.to_string())));
    }
    free(disk);
}

fn a_full_disk_leaves_what_was_there(disk: &Path) {
    let world = World::new();
    write(&world.laptop().join("known"), noise(1, LARGE));
    let known = world.capture(&world.laptop());
    let originals = Originals::new(&world.path(""));
    let first = start(&world, &known, &originals, 0).expect("started");
    let before = kept(&world);
    write(&world.laptop().join("small"), noise(2, 20_000));
    write(&world.laptop().join("z"), noise(3, LARGE));
    let next = world.capture(&world.laptop());
    let filler = world.path("filler");
    fill(disk, &filler, LARGE / 2);
    let error = start(&world, &next, &originals, 1).expect_err("there is no room");
    assert!(matches!(error, WorkspaceError::DiskFull { .. }), "{error:?}");
    assert!(!run(&world, 1).workspace().exists());
    assert_eq!(kept(&world), before, "neither more nor less");
    assert_eq!(world.capture(&first), known);
    // As far as sharing needs no room, a known tree still starts.
    let again = start(&world, &known, &originals, 2).expect("started");
    assert_eq!(world.capture(&again), known);
    fs::remove_dir_all(filler).expect("room");
    free(disk);
    let tree = start(&world, &next, &originals, 1).expect("started");
    assert_eq!(world.capture(&tree), next);
}

#[test]
fn what_no_run_needs_is_garbage_and_what_a_crash_left_is_removed() {
    let world = World::new();
    write(&world.laptop().join("same"), noise(1, 50_000));
    write(&world.laptop().join("first"), noise(2, 50_000));
    let first = world.capture(&world.laptop());
    fs::remove_file(world.laptop().join("first")).expect("removed");
    write(&world.laptop().join("copy of same"), noise(1, 50_000));
    let second = world.capture(&world.laptop());
    let originals = Originals::new(&world.path(""));
    start(&world, &first, &originals, 0).expect("started");
    start(&world, &second, &originals, 1).expect("started");
    assert_eq!(kept(&world).len(), 2, "equal content once");
    let mut needed = OriginalIds::default();
    needed.add(&second.entries);
    let garbage = originals.garbage(&world.user, &needed).expect("listed");
    assert_eq!(garbage.len(), 1);
    originals.remove(&garbage).expect("removed");
    originals.remove(&garbage).expect("gone already is fine");

    let left = kept(&world);
    let user = left[0].parent().expect("user");
    let before = world.path("originals/a-boot-before/ada");
    write(&user.join(".new-half"), "half");
    write(&before.join("x"), "may be anything");
    assert!(originals.garbage(&world.user, &needed).expect("listed").is_empty(), "being made");
    originals.clean().expect("clean");
    assert!(before.exists(), "that can wait");
    originals.remove_earlier().expect("removed");
    assert!(!before.exists());
    assert_eq!(kept(&world), left);
    let again = start(&world, &first, &originals, 0).expect("started");
    assert_eq!(world.capture(&again), first);
}

fn users_share_nothing(_disk: &Path) {
    let mut world = World::new();
    write(&world.laptop().join("same"), noise(1, 50_000));
    let originals = Originals::new(&world.path(""));
    for user in ["ada", "bob"] {
        world.user = UserName::parse(user).expect("user");
        let snapshot = world.capture(&world.laptop());
        start(&world, &snapshot, &originals, 0).expect("started");
    }
    let mut users = originals.users().expect("users");
    users.sort();
    assert_eq!(users, ["ada", "bob"]);
    let of = |user: &str| {
        let mut kept = kept_of(&world, user);
        assert_eq!(kept.len(), 1, "{user}");
        kept.remove(0)
    };
    let (ada, bob) = (of("ada"), of("bob"));
    assert_eq!(ada.file_name(), bob.file_name(), "the same content");
    assert_ne!(extents(&ada), extents(&bob));
    let inode = |path: &Path| fs::metadata(path).expect("original").ino();
    let before = inode(&bob);
    assert_ne!(inode(&ada), before);

    // Whatever happens to one user's, the other has the same as before.
    fs::set_permissions(&ada, fs::Permissions::from_mode(0o600)).expect("mode");
    write(&ada, noise(2, 50_000));
    assert_eq!(fs::read(&bob).expect("read"), noise(1, 50_000));
    world.user = UserName::parse("ada").expect("user");
    let garbage = originals.garbage(&world.user, &OriginalIds::default()).expect("listed");
    assert_eq!(garbage, [ada]);
    originals.remove(&garbage).expect("removed");
    assert!(kept_of(&world, "ada").is_empty());
    assert_eq!(fs::read(&bob).expect("read"), noise(1, 50_000));
    assert_eq!(inode(&bob), before);
}

/// What the doctor finds for an ordinary user's daemon.
fn found(format: Format, test: &str) {
    on_disk((format, DISK_BYTES), Tester::Ordinary, ("originals", test), |disk| {
        let found = Sharing::find(disk);
        let left = fs::read_dir(disk).expect("list").map(|entry| entry.expect("entry").file_name());
        assert_eq!(left.filter(|name| name != "lost+found").count(), 0, "nothing is left there");
        let report = found.report().detail;
        assert!(report.contains("the daemon is not root"), "{report}");
        match format {
            Format::Xfs | Format::Btrfs => assert!(report.starts_with("reflink: "), "{report}"),
            Format::Ext4 => {
                assert!(report.starts_with("copy: "), "{report}");
                assert!(report.contains("no shared blocks: Operation not supported"), "{report}");
            }
        }
    });
}

#[test]
fn an_ordinary_users_daemon_shares_blocks_on_xfs() {
    found(Format::Xfs, "an_ordinary_users_daemon_shares_blocks_on_xfs");
}

#[test]
fn an_ordinary_users_daemon_shares_blocks_on_btrfs() {
    found(Format::Btrfs, "an_ordinary_users_daemon_shares_blocks_on_btrfs");
}

#[test]
fn an_ordinary_users_daemon_copies_on_ext4() {
    found(Format::Ext4, "an_ordinary_users_daemon_copies_on_ext4");
}

#[test]
fn runs_on_another_disk_than_originals_get_copies() {
    let test = ("originals", "runs_on_another_disk_than_originals_get_copies");
    on_disk((Format::Xfs, DISK_BYTES), Tester::Ordinary, test, |disk| {
        let elsewhere = tempfile::tempdir_in("/dev/shm").expect("another disk");
        symlink(elsewhere.path(), disk.join("runs")).expect("link");
        let report = Sharing::find(disk).report().detail;
        assert!(report.starts_with("copy: "), "{report}");
        assert!(report.contains("no shared blocks: Invalid cross-device link"), "{report}");
    });
}

#[test]
fn where_files_cannot_share_blocks_they_are_written() {
    let test = ("originals", "where_files_cannot_share_blocks_they_are_written");
    on_disk((Format::Ext4, DISK_BYTES), Tester::Ordinary, test, |_disk| {
        let world = World::new();
        lay_out(&world.laptop());
        let snapshot = world.capture(&world.laptop());
        let originals = Originals::new(&world.path(""));
        let tree = start(&world, &snapshot, &originals, 0).expect("started");
        assert_eq!(world.capture(&tree), snapshot);
    });
}
