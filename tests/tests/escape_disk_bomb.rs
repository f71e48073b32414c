//! Attempt: fill the disk of the daemon, with bytes, with files, or with what has no name.

use std::fs;
use std::path::{Path, PathBuf};

use handoff_tests::world::World;

const SETTINGS: &str = "[runs]\ndisk = \"64MiB\"\n";

const LIMIT: &str = "disk limit of 64 MiB";

/// What a run writes that nobody stops, and the limit that stops it.
const BOMBS: [(&str, &str); 3] = [
    ("mkdir -p target; for i in $(seq 4096); do head -c 1M /dev/zero > target/$i; done", LIMIT),
    (
        "exec 3>target; rm target; exec 4>target; rm target; \
         head -c 48M /dev/zero >&3; head -c 48M /dev/zero >&4; sleep 1000",
        LIMIT,
    ),
    (
        "exec /usr/bin/perl -e 'for (1..1_000_000) { open(F, q(>), qq(target$_)) or die qq($!\\n) } \
         sleep 1000'",
        "disk limit of 65536 files",
    ),
];

fn attempt(world: &World) {
    world.configure(SETTINGS);
    let directory = world.directory("app");
    world.git(&directory, &["init", "-q"]);
    world.write(&directory.join(".gitignore"), "target*\n");
    world.write(&directory.join("kept"), "before\n");

    // Outside nobody stops it, and there is room for more than the limit.
    let control = world.directory("control");
    world.ok(
        &control,
        "bash",
        ["-c", "head -c 128M /dev/zero > file; for i in $(seq 100); do : > $i; done"],
    );
    assert!(allocated(&control) > 128 << 20);
    fs::remove_dir_all(&control).expect("remove");

    for (bomb, limit) in BOMBS {
        let script = format!("echo written > kept; {bomb}");
        let id = world.hand_off(&directory, ["--", "bash", "-c", &script]);
        let run = world.finished(&directory, &id);
        assert_eq!((&run["outcome"], &run["exit_code"]), (&"failed".into(), &().into()), "{run:#}");
        assert_eq!(run["outcome_detail"], limit, "{run:#}");
        let written = allocated(&world.local_daemon().join("runs").join(&id));
        // One look a second: what a disk takes in that time comes on top.
        assert!(written < 2 << 30, "{written} bytes");
        let layers = run["isolation"].to_string();
        assert!(layers.contains("watched"), "{layers}");

        // What it wrote before can be pulled.
        world.handoff(&directory, ["pull", "--into", "worktree", &id]).ok();
        let beside = fs::read_dir(directory.parent().expect("parent")).expect("list").flatten();
        let worktree = beside.map(|entry| entry.path()).find(|path| is_result(path));
        let worktree: PathBuf = worktree.expect("a worktree");
        assert_eq!(fs::read_to_string(worktree.join("kept")).expect("read"), "written\n");
        fs::remove_dir_all(&worktree).expect("remove");
        world.git(&directory, &["worktree", "prune"]);
        world.handoff(&directory, ["rm", &id]).ok();
    }

    // A file of any size that holds nothing costs nothing.
    let sparse = "truncate -s 60M target && ls -s target | cut -d' ' -f1";
    let run = world.handoff(&directory, ["-f", "--", "bash", "-c", sparse]);
    assert_eq!((run.code, run.stdout.as_slice()), (0, b"0\n".as_slice()), "{run}");
    let endless = "truncate -s 1P target";
    let run = world.handoff(&directory, ["-f", "--", "bash", "-c", endless]);
    assert_eq!(run.code, 3, "no file is larger than the limit: {run}");
}

fn is_result(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("app.handoff-"))
}

/// Bytes that a directory takes on the disk, as the field's own tool counts them.
fn allocated(directory: &Path) -> u64 {
    let output = std::process::Command::new("du").arg("-s").arg(directory).output().expect("du");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

#[test]
fn as_root() {
    attempt(&World::new());
}

#[test]
fn as_an_ordinary_user() {
    attempt(&World::ordinary());
}

#[test]
fn as_an_ordinary_user_with_subordinate_ids() {
    attempt(&World::with_subordinate_ids());
}
