//! The directory of a run on a real btrfs that counts: what the run writes there is bounded as one,
//! and nothing stays of it, whenever its daemon was killed.

#[path = "../../tests/src/disk.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests that cross crates")]
mod disk;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use disk::{Format, Tester, on_disk};
use handoff_daemon::workspace::{Bound, Layout};
use handoff_sandbox::{Quotas, Subvolume};
use rustix::fs::Mode;
use rustix::io::Errno;

/// How long the kernel may take to take away what was removed.
const PATIENCE: Duration = Duration::from_secs(60);

const DISK_BYTES: u64 = 512 << 20;

const MIB: usize = 1 << 20;

/// The inode number of the root of every subvolume.
const SUBVOLUME: u64 = 256;

fn btrfs(arguments: &[&str], disk: &Path) -> String {
    let output = Command::new("btrfs").args(arguments).arg(disk).output();
    let output = output.expect("btrfs: install btrfs-progs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn count(disk: &Path) {
    btrfs(&["quota", "enable"], disk);
    btrfs(&["quota", "rescan", "-w"], disk);
}

fn quotas(disk: &Path) -> Quotas {
    Quotas::of(File::open(disk).expect("open")).expect("known")
}

fn subvolumes(disk: &Path) -> usize {
    btrfs(&["subvolume", "sync"], disk);
    btrfs(&["subvolume", "list"], disk).lines().count()
}

/// Groups of subvolumes but the disk's own. The kernel removes one after its subvolume, by a commit.
fn groups_but(disk: &Path, expected: usize) {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        btrfs(&["filesystem", "sync"], disk);
        let shown = btrfs(&["qgroup", "show", "--raw"], disk);
        let ids = shown.lines().filter_map(|line| line.split_whitespace().next());
        if ids.filter(|id| id.starts_with("0/") && *id != "0/5").count() == expected {
            return;
        }
    }
    panic!("{}", btrfs(&["qgroup", "show", "--raw"], disk));
}

fn subvolume(directory: &Path) -> Option<Subvolume> {
    Subvolume::of(File::open(directory).expect("open").into()).expect("known")
}

/// Writes in ever smaller pieces until there is no room; returns how much that was, and why it ended.
fn fill(file: &Path) -> (usize, Errno) {
    let mut file = File::create(file).expect("create");
    let (mut written, mut why) = (0, None);
    for piece in [MIB, 4096] {
        why = loop {
            match file.write(&vec![1; piece]) {
                Ok(bytes) => written += bytes,
                Err(error) => break Errno::from_io_error(&error),
            }
        };
    }
    (written, why.expect("an errno"))
}

#[test]
fn nobody_writes_past_a_limit_and_a_neighbour_has_its_own() {
    let name = "nobody_writes_past_a_limit_and_a_neighbour_has_its_own";
    on_disk((Format::Btrfs, DISK_BYTES), Tester::Root, (module_path!(), name), |disk| {
        count(disk);
        assert_eq!(quotas(disk), Quotas::On);
        assert!(Quotas::may_limit(File::open(disk).expect("open")).expect("root may"));
        let runs = ["a", "b"].map(|name| Layout::new(disk.join("runs").join(name)));
        for layout in &runs {
            layout.create(Bound::Quota).expect("made");
            let meta = fs::metadata(layout.writable()).expect("there");
            assert_eq!((meta.ino(), meta.mode() & 0o7777), (SUBVOLUME, 0o700));
        }
        assert!(subvolume(runs[0].run()).is_none(), "only what the run writes is one");
        let held = subvolume(&runs[0].writable()).expect("a subvolume");
        let before = held.used().expect("counted");
        held.limit(32 * MIB as u64).expect("root may");
        // As long as it is full, no mode can be changed, which it takes to empty this one.
        let closed = runs[0].writable().join("closed");
        fs::create_dir(&closed).expect("directory");
        fs::write(closed.join("in it"), "").expect("write");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("mode");
        let (written, why) = fill(&runs[0].writable().join("file"));
        let used = held.used().expect("counted") - before;
        assert!((30 * MIB as u64..=32 * MIB as u64).contains(&used), "{used}");
        held.limit(1).expect("less than there is");
        let full = fs::set_permissions(&closed, fs::Permissions::from_mode(0o700));
        assert_eq!(Errno::from_io_error(&full.expect_err("full")), Some(Errno::DQUOT));
        assert_eq!(why, Errno::DQUOT);
        assert!((31 * MIB..=32 * MIB).contains(&written), "{written}");
        // What is beside it, for the daemon and the supervisor, is not bounded, nor is a neighbour.
        fs::write(runs[0].jobs().join("output"), vec![1; MIB]).expect("room for records");
        fs::write(runs[1].writable().join("file"), vec![1; 40 * MIB]).expect("room");
        runs.iter().for_each(|layout| layout.remove().expect("removed"));
        assert_eq!(subvolumes(disk), 0);
        groups_but(disk, 0);
    });
}

#[test]
fn a_daemon_that_died_after_making_it_makes_it_anew_and_leaves_nothing() {
    let name = "a_daemon_that_died_after_making_it_makes_it_anew_and_leaves_nothing";
    on_disk((Format::Btrfs, DISK_BYTES), Tester::Root, (module_path!(), name), |disk| {
        let layout = Layout::new(disk.join("runs/a"));
        let writable = layout.writable();
        let half = |named: &str| {
            fs::create_dir_all(layout.workspace().join("closed")).expect("directory");
            fs::write(layout.workspace().join(named), "half").expect("write");
        };
        // A daemon that found no counts, one that did, and one that died before the mode was set.
        layout.create(Bound::Quota).expect("made");
        assert_ne!(fs::metadata(&writable).expect("there").ino(), SUBVOLUME);
        half("a");
        count(disk);
        layout.create(Bound::Quota).expect("made");
        half("b");
        subvolume(&writable).expect("a subvolume").limit(MIB as u64).expect("root may");
        layout.create(Bound::Quota).expect("made");
        assert!(writable.read_dir().expect("list").next().is_none(), "empty");
        fill(&writable.join("file"));
        assert!(fs::metadata(writable.join("file")).expect("there").len() > 2 * MIB as u64);
        layout.remove().expect("removed");
        layout.create(Bound::Watch).expect("made");
        fs::remove_dir(&writable).expect("remove");
        let parent = File::open(layout.run()).expect("open");
        Subvolume::create(&parent, "writable".as_ref(), Mode::from_raw_mode(0)).expect("made");
        layout.create(Bound::Quota).expect("made");
        assert_eq!(subvolumes(disk), 1);
        groups_but(disk, 1);
        layout.remove().expect("removed");
        assert_eq!(subvolumes(disk), 0);
        groups_but(disk, 0);
        assert!(!layout.run().exists());
    });
}

/// As the daemon of a launcher is: it makes and removes subvolumes, and bounds none.
#[test]
fn an_ordinary_user_makes_and_removes_it_and_cannot_bound_it() {
    let name = "an_ordinary_user_makes_and_removes_it_and_cannot_bound_it";
    on_disk((Format::Btrfs, DISK_BYTES), Tester::Ordinary, (module_path!(), name), |disk| {
        assert_eq!(quotas(disk), Quotas::Off, "only root switches them on");
        let layout = Layout::new(disk.join("runs/a"));
        fs::create_dir_all(layout.run()).expect("directory");
        let parent = File::open(layout.run()).expect("open");
        Subvolume::create(&parent, "writable".as_ref(), Mode::RWXU).expect("everybody may");
        assert!(!Quotas::may_limit(&parent).expect("an answer"));
        let own = subvolume(&layout.writable()).expect("a subvolume");
        let error = own.limit(1 << 20).expect_err("only root may");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::PERM));
        fs::create_dir_all(layout.workspace().join("deep/er")).expect("directory");
        layout.remove().expect("removed");
        assert!(!layout.run().exists());
    });
}

#[test]
fn on_other_file_systems_there_are_no_groups() {
    let name = "on_other_file_systems_there_are_no_groups";
    on_disk((Format::Ext4, 16 << 20), Tester::Root, (module_path!(), name), |disk| {
        assert_eq!(quotas(disk), Quotas::NotBtrfs);
        let layout = Layout::new(disk.join("runs/a"));
        layout.create(Bound::Quota).expect("made");
        assert!(subvolume(&layout.writable()).is_none());
        let parent = File::open(layout.run()).expect("open");
        let error = Subvolume::create(&parent, "other".as_ref(), Mode::RWXU).expect_err("none");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOTTY));
        let long = "x".repeat(4090);
        let error = Subvolume::create(&parent, long.as_ref(), Mode::RWXU).expect_err("too long");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NAMETOOLONG));
        layout.remove().expect("removed");
    });
}
