//! What git only packed anew is not sent anew: after a local repack or gc new objects travel alone.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use handoff_tests::world::{World, said};

/// What may travel after a repack, in bytes.
const SENT_MAX: u64 = 2 << 20;

/// Files in the repository; a few kilobytes of noise each.
const FILES: usize = 11_000;

/// Prints every object and fails where git finds fault.
const OBJECTS: &str = "git fsck --full --strict >&2 && \
                       git cat-file --batch-all-objects --batch-check='%(objectname)'";

#[test]
fn after_a_repack_only_new_objects_travel() {
    let world = World::new();
    let project = noise(&world, "noise", FILES);
    assert!(pack_bytes(&project) > 48 << 20);
    hand_off(&world, &project);

    // Other bytes in another order, so that no part of the new pack is like the old one.
    repack(&world, &project);
    assert_eq!(lacking(&world, &project), 0, "there is nothing new");
    hand_off(&world, &project);

    commit(&world, &project, "first");
    repack(&world, &project);
    let id = hand_off(&world, &project);
    world.handoff(&project, ["pull", &id]).ok();
    assert_eq!(world.git(&project, &["status", "--porcelain"]), "", "a pack is no local change");

    // Loose objects that the remote has, packed by gc.
    for number in 0..300 {
        world.write(&project.join(format!("loose-{number}")), format!("{number}").repeat(4000));
    }
    world.git(&project, &["add", "."]);
    world.git(&project, &["commit", "-qm", "loose"]);
    hand_off(&world, &project);
    commit(&world, &project, "second");
    world.git(&project, &["-c", "pack.compression=1", "gc", "-q", "--prune=now"]);
    assert_eq!(loose(&world, &project), 0);
    hand_off(&world, &project);

    // The pack that was sent for the second commit is known as well.
    repack(&world, &project);
    assert_eq!(lacking(&world, &project), 0, "there is nothing new");
}

#[test]
fn a_commit_made_on_exchanged_packs_comes_back() {
    let world = World::new();
    let project = noise(&world, "app", 200);
    world.git(&project, &["config", "user.name", "Test Er"]);
    world.git(&project, &["config", "user.email", "test@example.com"]);
    hand_off(&world, &project);
    commit(&world, &project, "here");
    repack(&world, &project);
    let script = "echo there > there && git add there && git commit -qm there";
    let id = world.hand_off(&project, ["--", "sh", "-c", script]);
    assert_eq!(world.finished(&project, &id)["outcome"], "succeeded");
    world.handoff(&project, ["pull", &id]).ok();
    assert_eq!(world.git(&project, &["log", "-2", "--format=%s"]), "there\nhere\n");
    world.git(&project, &["fsck", "--full", "--strict"]);
}

#[test]
fn bitmaps_midx_cruft_and_kept_packs_stay_sound() {
    let world = World::new();
    let project = noise(&world, "app", 200);
    hand_off(&world, &project);
    // A cruft pack, a multi-pack index with a bitmap, and a pack that is to be kept.
    commit(&world, &project, "abandoned");
    world.git(&project, &["reset", "-q", "--hard", "HEAD~1"]);
    world.git(&project, &["reflog", "expire", "--expire=now", "--all"]);
    repack_with(&world, &project, &["--cruft", "-d"]);
    commit(&world, &project, "kept");
    let kept = world.ok(
        &project,
        "sh",
        ["-c", "git rev-list --objects HEAD~1..HEAD | git pack-objects -q .git/objects/pack/pack"],
    );
    world.write(&project.join(format!(".git/objects/pack/pack-{}.keep", kept.trim())), "");
    world.git(&project, &["multi-pack-index", "write", "--bitmap"]);
    hand_off(&world, &project);
    world.git(&project, &["repack", "-adb"]);
    hand_off(&world, &project);
}

#[test]
fn other_object_names_and_submodules_are_exchanged_too() {
    let world = World::new();
    let outer = world.directory("outer");
    world.git(&outer, &["init", "-q", "--object-format=sha256"]);
    fill(&world, &outer, 200);
    let inner = noise(&world, "inner", 200);
    let library = world.directory("library");
    world.git(&library, &["init", "-q"]);
    let address = inner.display().to_string();
    world.git(&library, &["submodule", "add", "-q", &address, "sub"]);
    world.git(&library, &["commit", "-qm", "with a submodule"]);
    let sub = library.join("sub");
    for (root, repository) in [(&outer, &outer), (&library, &sub)] {
        world.hand_off(root, ["--", "true"]);
        commit(&world, repository, "more");
        repack(&world, repository);
        assert!(lacking(&world, root) < 64 << 10, "{}", root.display());
        let script = format!("cd {} && {OBJECTS}", repository.display());
        has_all(&world, root, repository, &script);
    }
}

#[test]
fn damaged_or_forgotten_memory_costs_bytes_and_nothing_else() {
    let world = World::new();
    let project = noise(&world, "app", 400);
    hand_off(&world, &project);
    repack(&world, &project);
    let packs = world.home().join(".local/state/handoff/remotes/local/packs");
    let files = world.ok(&packs, "find", [".", "-type", "f", "-size", "+0"]);
    assert!(files.lines().count() >= 2, "{files}");
    for file in files.lines() {
        let path = packs.join(file);
        let sound = fs::read(&path).expect("read");
        let mut damaged = sound.clone();
        damaged[sound.len() / 2] ^= 1;
        fs::write(&path, damaged).expect("write");
        assert!(lacking(&world, &project) > 1 << 20, "{file} is damaged");
        fs::write(&path, sound).expect("write");
        assert_eq!(lacking(&world, &project), 0);
    }
    // Another daemon of the same name has nothing of what this machine remembers.
    let saved = world.path().join("packs");
    fs::rename(&packs, &saved).expect("move");
    world.stop_daemon(&world.local_daemon());
    world.handoff(&project, ["remote", "rm", "local"]).ok();
    fs::remove_dir_all(world.local_daemon()).expect("remove");
    world.hand_off(&world.directory("elsewhere"), ["--", "true"]);
    world.ok(&world.home(), "rm", ["-rf".as_ref(), packs.as_os_str()]);
    fs::rename(&saved, &packs).expect("move");
    assert!(lacking(&world, &project) >= pack_bytes(&project), "the plan says what it costs");
    has_all(&world, &project, &project, OBJECTS);
    assert_eq!(lacking(&world, &project), 0);
}

/// Makes a repository of one pack with a few kilobytes of noise in each of its files.
fn noise(world: &World, name: &str, files: usize) -> PathBuf {
    let project = world.directory(name);
    world.git(&project, &["init", "-q"]);
    fill(world, &project, files);
    project
}

fn fill(world: &World, project: &Path, files: usize) {
    let stream = world.path().join("stream");
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut import =
        b"commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 5\nnoise\n".to_vec();
    for number in 0..files {
        let words = 128 + usize::try_from(next() % 900).expect("small");
        let mut header = String::new();
        write!(header, "M 100644 inline d{}/{number}\ndata {}\n", number % 97, words * 8)
            .expect("text");
        import.extend(header.into_bytes());
        (0..words).for_each(|_| import.extend(next().to_le_bytes()));
        import.push(b'\n');
    }
    fs::write(&stream, import).expect("write");
    let mut git = world.command(project, "git");
    git.args(["fast-import", "--quiet"]).stdin(Stdio::from(fs::File::open(stream).expect("open")));
    drop(said(&mut git).ok());
    world.git(project, &["checkout", "-qf", "main"]);
    world.git(project, &["repack", "-adq"]);
}

fn commit(world: &World, project: &Path, name: &str) {
    world.write(&project.join(name), name.repeat(1000));
    world.git(project, &["add", name]);
    world.git(project, &["commit", "-qm", name]);
}

/// Packs everything into one pack without a byte of the old one.
fn repack(world: &World, project: &Path) {
    repack_with(world, project, &["-ad"]);
}

fn repack_with(world: &World, project: &Path, words: &[&str]) {
    let before = packs(project);
    let level = ["-c", "pack.compression=1", "-c", "core.compression=9", "repack", "-qF"];
    world.git(project, &[&level, words].concat());
    assert_ne!(packs(project), before, "the pack is another one");
}

fn packs(project: &Path) -> BTreeSet<PathBuf> {
    let git = if project.join(".git").is_dir() {
        project.join(".git")
    } else {
        project.parent().expect("parent").join(".git/modules/sub")
    };
    let files = fs::read_dir(git.join("objects/pack")).expect("packs");
    let paths = files.map(|file| file.expect("pack").path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "pack")).collect()
}

fn pack_bytes(project: &Path) -> u64 {
    packs(project).iter().map(|pack| pack.metadata().expect("size").len()).sum()
}

fn loose(world: &World, project: &Path) -> u64 {
    let said = world.git(project, &["count-objects"]);
    said.split(' ').next().expect("number").parse().expect("number")
}

/// Uncompressed bytes that a handoff would send now.
fn lacking(world: &World, project: &Path) -> u64 {
    let plan = world.handoff(project, ["plan", "--json"]).json();
    plan["lacking"]["bytes"].as_u64().unwrap_or_else(|| panic!("{plan:#}"))
}

/// Hands a check of the repository off, and expects that the run has every local object. From the
/// second time on next to nothing may be sent.
fn hand_off(world: &World, project: &Path) -> String {
    let known = world.home().join(".local/state/handoff/remotes/local/packs").exists();
    if known && loose(world, project) == 0 {
        let bytes = lacking(world, project);
        assert!(bytes <= SENT_MAX, "{bytes} bytes would be sent");
    }
    has_all(world, project, project, OBJECTS)
}

fn has_all(world: &World, root: &Path, repository: &Path, script: &str) -> String {
    let id = world.hand_off(root, ["--", "sh", "-c", script]);
    let run = world.finished(root, &id);
    let logs = world.handoff(root, ["logs", &id]);
    assert_eq!(run["outcome"], "succeeded", "{logs}");
    let there = String::from_utf8_lossy(&logs.stdout);
    let there: BTreeSet<&str> = there.lines().collect();
    let words = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
    let here = world.git(repository, &words);
    let missing: Vec<&str> = here.lines().filter(|object| !there.contains(object)).collect();
    assert!(missing.is_empty(), "the run lacks {missing:?}");
    id
}
