//! Attempt: write more to the disk than the limit before anybody looks, where the kernel counts.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use handoff_tests::disk::{Format, Tester, on_disk};
use handoff_tests::service::{DAEMON, Service};
use handoff_tests::world::World;
use serde_json::Value;

/// How long the kernel may take to take away what was removed.
const PATIENCE: Duration = Duration::from_secs(60);

const DISK_BYTES: u64 = 3 << 30;

const LIMIT: u64 = 64 << 20;

/// What a run could not use of its limit, and what its directory took before: far less than goes to
/// a disk between two looks.
const LITTLE: u64 = 3 << 20;

/// Daemons that refuse what is not held hard.
const SETTINGS: &str = "[runs]\ndisk = \"64MiB\"\n[isolation]\nrequire = [\"disk\"]\n";

const SERVICE: &str = "require = [\"disk\"]\n[runs]\ndisk = \"64MiB\"\n";

/// Write until they are not let, and return why; each for itself could fill the disk.
const BOMBS: [&str; 3] = [
    "for i in $(seq 4096); do head -c 1M /dev/urandom > target$i || exit 7; done",
    // In two places, and by three at a time.
    "fill() { for i in $(seq 4096); do head -c 1M /dev/urandom > $1$i || return 7; done; }; \
     fill ~/a & fill target & fill ~/b; r=$?; wait; exit $r",
    // In what nobody finds by a name; it is looked at before it goes.
    "exec 3>target; rm target; exec 4>target; rm target; \
     head -c 48M /dev/urandom >&3; head -c 48M /dev/urandom >&4 || { sleep 5; exit 7; }",
];

/// What btrfs says, in words.
fn btrfs(arguments: &[&str], disk: &Path) -> String {
    let output = Command::new("btrfs").args(arguments).arg(disk).output();
    let output = output.expect("btrfs: install btrfs-progs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Quota groups of subvolumes, without the one of the disk itself.
fn groups(disk: &Path) -> Vec<String> {
    let shown = btrfs(&["qgroup", "show", "--raw"], disk);
    let groups = shown.lines().filter_map(|line| line.split_whitespace().next());
    groups.filter(|id| id.starts_with("0/") && *id != "0/5").map(ToOwned::to_owned).collect()
}

/// Bytes that a directory takes on the disk, as the field's own tool counts them.
fn allocated(directory: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-B1"]).arg(directory).output().expect("du");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).expect("a number")
}

fn layer(run: &Value) -> String {
    let layers = run["isolation"].as_array().expect("layers");
    let disk = layers.iter().find(|layer| layer["name"] == "disk").expect("disk");
    format!("{} {}", disk["state"].as_str().expect("state"), disk["detail"].as_str().expect("text"))
}

/// Hands bombs off to a daemon of this state directory, whose disk counts.
fn attempt(world: &World, state: &Path, disk: &Path) {
    let directory = world.directory("app");
    world.git(&directory, &["init", "-q"]);
    world.write(&directory.join(".gitignore"), "target*\n");
    world.write(&directory.join("kept"), "before\n");
    let neighbour =
        world.hand_off(&directory, ["-n", "neighbour", "--", "tail", "-f", "/dev/null"]);

    for bomb in BOMBS {
        let script = format!("echo written > kept; {bomb}");
        let id = world.hand_off(&directory, ["--", "bash", "-c", &script]);
        let run = world.finished(&directory, &id);
        assert_eq!(run["outcome"], "failed", "{run:#}");
        let reached = "disk limit of 64 MiB reached: ended with exit code 7";
        assert_eq!(run["outcome_detail"], reached, "{bomb}: {run:#}");
        let logs = world.handoff(&directory, ["logs", &id]);
        assert!(logs.stderr.contains("Disk quota exceeded"), "{logs}");
        assert_eq!(layer(&run), "in-force hard (btrfs quota group): 64 MiB, 65536 files");

        let writable = state.join("runs").join(&id).join("writable");
        assert_eq!(fs::metadata(&writable).expect("there").ino(), 256, "a subvolume");
        btrfs(&["filesystem", "sync"], disk);
        let counted = btrfs(&["qgroup", "show", "--raw", "-f"], &writable);
        let counted: Vec<&str> =
            counted.lines().last().expect("a group").split_whitespace().collect();
        let counted: u64 = counted[1].parse().expect("bytes");
        assert!(counted <= LIMIT + LITTLE, "{counted} bytes by {bomb}");
        // What has no name any more has been given back.
        if !bomb.contains("rm target") {
            assert!(counted >= LIMIT - LITTLE, "{counted} bytes by {bomb}");
        }
        let found = allocated(&state.join("runs").join(&id).join("jobs"));
        assert!(found < LITTLE, "{found} bytes of output and records");

        // What it wrote before can be pulled.
        world.handoff(&directory, ["pull", "--into", "worktree", &id]).ok();
        let beside = fs::read_dir(directory.parent().expect("parent")).expect("list").flatten();
        let is_result = |name: &str| name.starts_with("app.handoff-");
        let worktree = beside
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|name| is_result(&name.to_string_lossy())));
        let worktree = worktree.expect("a worktree");
        assert_eq!(fs::read_to_string(worktree.join("kept")).expect("read"), "written\n");
        fs::remove_dir_all(&worktree).expect("remove");
        world.git(&directory, &["worktree", "prune"]);
        world.handoff(&directory, ["rm", &id]).ok();
        assert!(!writable.exists());
    }

    // Who makes room again, or copes, has not failed.
    let copes = "head -c 100M /dev/urandom > ~/a; head -c 100M /dev/urandom >> ~/a && exit 9; \
                 rm ~/a; head -c 40M /dev/urandom > ~/b";
    let run = world.handoff(&directory, ["-f", "--", "bash", "-c", copes]);
    assert_eq!(run.code, 0, "{run}");
    // And who fails for another reason is not told of the disk.
    let run = world.handoff(&directory, ["-f", "-n", "other", "--", "sh", "-c", "exit 9"]);
    assert_eq!(run.code, 3, "{run}");
    let other = world.show(&directory, "other");
    assert_eq!(
        (&other["exit_code"], &other["outcome_detail"]),
        (&9.into(), &"exited with code 9".into())
    );

    // Others went on, with room of their own.
    assert_eq!(world.show(&directory, &neighbour)["state"], "running");
    world.handoff(&directory, ["stop", &neighbour]).ok();
    drop(world.finished(&directory, &neighbour));

    // What is not in the run's directory alone is not held hard, and refused for that here.
    world.write(&directory.join(".handoff.toml"), "[environment]\ncaches = [\"~/.npm\"]\n");
    let cached = world.hand_off(&directory, ["--", "true"]);
    let run = world.finished(&directory, &cached);
    let refused = "required: disk is not in force: caches are in no quota group";
    assert_eq!(run["outcome_detail"], refused, "{run:#}");

    let runs = world.handoff(&directory, ["ls", "--all", "--json"]).json();
    for run in runs.as_array().expect("runs") {
        world.handoff(&directory, ["rm", run["id"].as_str().expect("id")]).ok();
    }
    // The kernel takes away what was removed, in its own time.
    btrfs(&["subvolume", "sync"], disk);
    assert_eq!(btrfs(&["subvolume", "list"], disk), "");
}

/// Waits, as the kernel removes groups after subvolumes, and does so by committing.
fn no_group_is_left(disk: &Path) {
    let mut left = groups(disk);
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if left.is_empty() {
            return;
        }
        btrfs(&["filesystem", "sync"], disk);
        left = groups(disk);
    }
    panic!("{left:?} stay");
}

fn count(disk: &Path) {
    btrfs(&["quota", "enable"], disk);
    btrfs(&["quota", "rescan", "-w"], disk);
}

fn of_root(disk: &Path) {
    count(disk);
    let world = World::new();
    let state = world.local_daemon();
    world.configure(SETTINGS);
    attempt(&world, &state, disk);
    let doctor = world.handoff(&world.home(), ["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("hard: a btrfs quota group for each run"), "{doctor}");
    drop(world);
    no_group_is_left(disk);
}

fn of_a_service(disk: &Path) {
    count(disk);
    let service = Service::start(SERVICE);
    let (world, daemon) = (World::new(), service.serve());
    let invitation = service.admin(&["invite", "ada"]).ok();
    world.handoff(&world.home(), ["remote", "add", "box", invitation.trim()]).ok();
    world.handoff(&world.home(), ["remote", "default", "box"]).ok();
    attempt(&world, &service.state(), disk);
    assert_eq!(fs::metadata(service.state()).expect("state").uid(), DAEMON);
    let said = service.admin(&["doctor"]).ok();
    assert!(said.contains("disk: in-force (hard: a btrfs quota group for each run"), "{said}");
    drop(daemon);
    no_group_is_left(disk);
}

/// Without counts, nobody pretends, and who insists is refused with what to do.
fn without_counts(disk: &Path) {
    let world = World::new();
    world.configure("[runs]\ndisk = \"64MiB\"\n");
    let directory = world.directory("app");
    let id = world.hand_off(&directory, ["--", "true"]);
    let run = world.finished(&directory, &id);
    let watched = "partial watched, no quota group: quotas of btrfs are off: 64 MiB, 65536 files";
    assert_eq!((&run["outcome"], layer(&run).as_str()), (&"succeeded".into(), watched), "{run:#}");
    assert_eq!(btrfs(&["subvolume", "list"], disk), "");
    let doctor = world.handoff(&directory, ["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("`btrfs quota enable "), "{doctor}");

    // Soon after they are switched on they count, for runs that come.
    count(disk);
    let id = world.hand_off(&directory, ["--", "true"]);
    let run = world.finished(&directory, &id);
    assert!(layer(&run).starts_with("in-force hard"), "{run:#}");
    let doctor = world.handoff(&directory, ["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("hard: a btrfs quota group for each run"), "{doctor}");
}

macro_rules! on_btrfs {
    ($name:ident, $test:path) => {
        #[test]
        fn $name() {
            let test = (module_path!(), stringify!($name));
            on_disk((Format::Btrfs, DISK_BYTES), Tester::Root, test, $test);
        }
    };
}

on_btrfs!(of_a_daemon_that_is_root, of_root);
on_btrfs!(of_a_service_with_a_launcher, of_a_service);
on_btrfs!(where_nothing_counts, without_counts);
