//! Shared trees: what the kernel makes of layers is what the snapshot holds. Needs root, since
//! nobody else's daemon makes layers.

#[path = "harvest/world.rs"]
#[expect(dead_code, reason = "shared with the tests of the harvest")]
mod world;

#[path = "trees/interrupted.rs"]
mod interrupted;
#[path = "trees/taken.rs"]
mod taken;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use handoff_daemon::workspace::{Snapshots, Tree, Trees, WorkspaceError, remove};
use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{SnapshotId, SnapshotManifest};
use proptest::prelude::*;
use world::{World, write};

/// Longest that a tree of a few bytes takes to reach a busy disk.
const DURABLE_MAX: Duration = Duration::from_secs(60);

/// What is at a path of a generated tree.
#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(Vec<u8>, u32),
    Link(String),
}

/// A tree of few names, so that two of them meet often: as one kind here and another there.
fn tree() -> impl Strategy<Value = Vec<(Vec<u8>, Node)>> {
    let node = prop_oneof![
        2 => Just(Node::Directory),
        3 => (prop::collection::vec(any::<u8>(), 0..40), prop::sample::select(vec![0o644, 0o755, 0o400]))
            .prop_map(|(content, mode)| Node::File(content, mode)),
        1 => "[a-c/.]{1,6}".prop_map(Node::Link),
    ];
    prop::collection::vec((prop::collection::vec(0..4_u8, 1..4), node), 0..14)
}

const NAMES: [&[u8]; 4] = [b"a", b"b c", b"\xffodd\n", b"a.b"];

/// Writes a file that is the same one if it is written again.
fn write_long_ago(path: &Path, content: impl AsRef<[u8]>) {
    write(path, content);
    let file = fs::File::options().write(true).open(path).expect("open");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("time");
}

fn lay_out(top: &Path, tree: &[(Vec<u8>, Node)]) {
    use std::os::unix::ffi::OsStrExt as _;
    remove(top).expect("removed");
    fs::create_dir(top).expect("top");
    for (path, node) in tree {
        let names = path.iter().map(|name| std::ffi::OsStr::from_bytes(NAMES[usize::from(*name)]));
        let path: PathBuf = std::iter::once(top.as_os_str()).chain(names).collect();
        // Whatever is in the way wins: the tree is random anyhow.
        let parent = path.parent().expect("parent");
        if fs::create_dir_all(parent).is_err() || path.symlink_metadata().is_ok() {
            continue;
        }
        match node {
            Node::Directory => fs::create_dir(&path).expect("directory"),
            Node::File(content, mode) => {
                write_long_ago(&path, content);
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("mode");
            }
            Node::Link(target) => symlink(target, &path).expect("link"),
        }
    }
}

/// Hands the laptop's tree off while nothing else runs.
fn hand_off(world: &World, trees: &Trees) -> (SnapshotManifest, Tree) {
    hand_off_while(world, trees, &[]).expect("prepared")
}

/// The same, and checks that the kernel shows exactly the snapshot.
fn hand_off_whole(world: &World, trees: &Trees) -> (SnapshotManifest, Tree) {
    let (snapshot, tree) = hand_off(world, trees);
    assert_eq!(world.capture(&merged(world, &tree)), snapshot);
    (snapshot, tree)
}

/// Hands the laptop's tree off while runs of these snapshots go on.
fn hand_off_while(
    world: &World,
    trees: &Trees,
    running: &[SnapshotId],
) -> Result<(SnapshotManifest, Tree), WorkspaceError> {
    let snapshot = world.capture(&world.laptop());
    put(world, &snapshot);
    prepare(world, trees, snapshot.id(), running).map(|tree| (snapshot, tree))
}

/// Stores a manifest.
fn put(world: &World, snapshot: &SnapshotManifest) {
    use handoff_daemon::store::BlobStore as _;
    let mut writer = world.blobs.writer(&world.user);
    let id = ChunkId::from_bytes(*snapshot.id().as_bytes());
    writer.put(&id, &snapshot.encode()).expect("put");
    writer.commit().expect("commit");
}

fn prepare(
    world: &World,
    trees: &Trees,
    snapshot: SnapshotId,
    running: &[SnapshotId],
) -> Result<Tree, WorkspaceError> {
    let in_use = || running.iter().map(|id| (world.user.clone(), *id)).collect();
    trees.prepare(&world.blobs, &Snapshots::default(), &world.user, snapshot, in_use)
}

/// Checks that every tree that would be found is its snapshot, and returns how many there are.
fn all_are_whole(world: &World, trees: &Trees, known: &[SnapshotManifest]) -> usize {
    let known: HashMap<_, _> = known.iter().map(|snapshot| (snapshot.id(), snapshot)).collect();
    let found = fs::read_dir(world.path("state/trees/ada")).expect("list").filter_map(|entry| {
        let id = SnapshotId::parse(entry.ok()?.file_name().to_str()?).ok()?;
        Some((id, prepare(world, trees, id, &[]).expect("found")))
    });
    let found: Vec<_> = found.collect();
    for (id, tree) in &found {
        assert_eq!(&world.capture(&merged(world, tree)), known[id]);
    }
    found.len()
}

/// What the kernel shows when it merges the layers, as a copy.
fn merged(world: &World, tree: &Tree) -> PathBuf {
    let (mount, copy) = (world.path("mount"), world.path("copy"));
    fs::create_dir_all(&mount).expect("mount point");
    remove(&copy).expect("removed");
    let lowers: Vec<&str> = tree.lowers.iter().map(|lower| lower.to_str().expect("text")).collect();
    let empty = world.path("empty");
    fs::create_dir_all(&empty).expect("directory");
    // The kernel wants two layers where nothing can be written.
    let lowers = format!("{}:{}", lowers.join(":"), empty.display());
    let script = "mount -t overlay overlay -o \"ro,lowerdir=$1\" \"$2\" && cp -a \"$2\" \"$3\"";
    let done = Command::new("unshare")
        .args(["-m", "sh", "-ec", script, "sh", &lowers])
        .args([&mount, &copy])
        .status()
        .expect("unshare");
    assert!(done.success(), "merged");
    copy
}

/// Trees in a world of their own; only root may have them.
fn trees(world: &World) -> Trees {
    assert!(rustix::process::geteuid().is_root(), "layers need root");
    Trees::new(&world.path("state"))
}

/// Waits until a tree is noted to have reached the disk: nothing is written there from then on.
fn until_durable(directory: &Path) {
    let deadline = Instant::now() + DURABLE_MAX;
    while !directory.join("durable").exists() {
        assert!(Instant::now() < deadline, "{} never reached the disk", directory.display());
        std::thread::yield_now();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn layers_merge_into_exactly_the_snapshot(
        steps in prop::collection::vec((tree(), taken::large_files(), any::<u8>()), 2..6),
    ) {
        let world = World::new();
        let trees = trees(&world);
        let mut known: Vec<SnapshotManifest> = Vec::new();
        for (small, large, running) in &steps {
            lay_out(&world.laptop(), small);
            taken::lay_out(&world.laptop(), large);
            // Enough that stays the same for a layer to be worth it.
            for number in 0..40 {
                write_long_ago(&world.laptop().join(format!("same/{number}")), "same");
            }
            let ids = known.iter().map(SnapshotManifest::id).enumerate();
            let running: Vec<_> =
                ids.filter(|(number, _)| running >> number & 1 == 1).map(|(_, id)| id).collect();
            let is_there = |id: &&SnapshotId| {
                world.path("state/trees/ada").join(id.to_string()).exists()
            };
            let before: Vec<_> = running.iter().filter(is_there).collect();
            let (snapshot, tree) = hand_off_while(&world, &trees, &running).expect("prepared");
            prop_assert_eq!(&world.capture(&merged(&world, &tree)), &snapshot);
            prop_assert!(before.iter().all(is_there), "they were in use");
            known.push(snapshot);
        }
        prop_assert!(all_are_whole(&world, &trees, &known) > 0);
    }
}

#[test]
fn a_later_snapshot_costs_what_changed_and_a_chain_has_an_end() {
    let world = World::with_repository();
    let trees = trees(&world);
    let mut deepest = 0;
    for number in 0..12 {
        write(&world.laptop().join(format!("new-{number}")), number.to_string());
        let (_, tree) = hand_off_whole(&world, &trees);
        deepest = deepest.max(tree.lowers.len());
        if number > 0 {
            assert!(tree.lowers[0].join(format!("new-{number}")).is_file());
            assert!(!tree.lowers[0].join("a.txt").exists(), "unchanged, so not written again");
        }
    }
    assert!((3..=9).contains(&deepest), "{deepest}");
}

#[test]
fn trees_that_nobody_needs_are_collected_and_those_below_are_kept() {
    let world = World::with_repository();
    let trees = trees(&world);
    let snapshots: Vec<_> = (0..3)
        .map(|number| {
            write(&world.laptop().join("a.txt"), format!("{number}"));
            hand_off(&world, &trees)
        })
        .collect();
    let none = trees.collect(HashSet::new).expect("collected");
    assert!(none.is_empty(), "the newest needs all below it: {none:?}");
    // Cut off from the chain: a tree of another directory's newest snapshot takes its place.
    for (snapshot, _) in &snapshots {
        until_durable(&world.path("state/trees/ada").join(snapshot.id().to_string()));
    }
    fs::remove_dir_all(world.path("state/trees/ada")).expect("removed");
    let (first, _) = &snapshots[0];
    prepare(&world, &trees, first.id(), &[]).expect("prepared");
    let latest: Vec<_> = fs::read_dir(world.path("state/trees/ada"))
        .expect("list")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("latest-"))
        .collect();
    fs::remove_file(world.path("state/trees/ada").join(&latest[0])).expect("removed");
    let kept = HashSet::from([(world.user.clone(), first.id())]);
    assert!(trees.collect(|| kept).expect("collected").is_empty(), "a run needs it");
    assert_eq!(trees.collect(HashSet::new).expect("collected").len(), 1);
}

#[test]
fn what_a_crash_left_is_removed_and_what_reached_the_disk_stays() {
    let world = World::with_repository();
    let user = world.path("state/trees/ada");
    let trees = trees(&world);
    let (snapshot, tree) = hand_off(&world, &trees);
    fs::create_dir_all(user.join(".new-half/tree/x")).expect("half of one");
    trees.clean().expect("clean");
    assert!(!user.join(".new-half").exists());
    assert!(tree.lowers[0].is_dir(), "made during this boot");
    // As after a power cut that came too soon.
    let name = snapshot.id().to_string();
    until_durable(&user.join(&name));
    fs::write(user.join(&name).join("boot"), "another").expect("write");
    trees.clean().expect("clean");
    assert!(tree.lowers[0].is_dir(), "it had reached the disk");
    fs::remove_file(user.join(&name).join("durable")).expect("remove");
    trees.clean().expect("clean");
    assert!(!tree.lowers[0].exists());
    let (_, again) = hand_off(&world, &trees);
    assert_eq!(world.capture(&merged(&world, &again)), snapshot);
}

#[test]
fn a_full_disk_leaves_nothing_and_the_next_attempt_succeeds() {
    let world = World::with_repository();
    write(&world.laptop().join("large"), vec![7_u8; 3 << 20]);
    let disk = SmallDisk::new(world.path("small"));
    let trees = Trees::new(&disk.0);
    let snapshot = world.capture(&world.laptop());
    let attempt =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hand_off(&world, &trees)));
    assert!(attempt.is_err(), "there is no room");
    assert_eq!(fs::read_dir(disk.0.join("trees/ada")).expect("list").count(), 0);
    disk.mount("remount,size=64m");
    let (again, tree) = hand_off(&world, &trees);
    assert_eq!((again, world.capture(&merged(&world, &tree))), (snapshot.clone(), snapshot));
}

/// A file system of a megabyte, which goes with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(place: PathBuf) -> Self {
        fs::create_dir(&place).expect("directory");
        let disk = Self(place);
        disk.mount("size=1m");
        disk
    }

    fn mount(&self, options: &str) {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&self.0)
            .status();
        assert!(done.expect("mount").success(), "mounted with {options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The directory that holds it cannot be removed otherwise, which would tell.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
