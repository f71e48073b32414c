//! Captures of real repositories that were packed anew.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::Kind;
use handoff_proto::path::AbsolutePath;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{Capture, Options, capture};
use super::PackMemory;

struct World {
    home: TempDir,
    tree: PathBuf,
}

impl World {
    /// A repository of one pack, and what is remembered of it.
    fn new(script: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().canonicalize().unwrap().join("tree");
        let world = Self { home, tree };
        world.sh(world.home.path(), "git init -q tree; cd tree; git config gc.auto 0");
        world.tree(script);
        let captured = world.capture();
        world.memory().remember(&captured).unwrap();
        world
    }

    fn sh(&self, at: &Path, script: &str) -> String {
        let commit = "commit() { for n in \"$@\"; do seq ${n}00000 ${n}00999 > f$n; git add f$n; \
                      git commit --allow-empty -qm $n; done; }";
        let output = Command::new("sh")
            .current_dir(at)
            .args(["-ec", &format!("{commit}\n{script}")])
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@b")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@b")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn tree(&self, script: &str) -> String {
        self.sh(&self.tree, script)
    }

    fn memory(&self) -> PackMemory {
        let root = AbsolutePath::try_from(self.tree.as_path()).unwrap();
        PackMemory::new(&self.home.path().join("packs"), &root)
    }

    fn capture(&self) -> Capture {
        let root = AbsolutePath::try_from(self.tree.as_path()).unwrap();
        let options = Options { packs: Some(self.memory()), ..Options::new(root) };
        capture(&options, &|_| {}).unwrap()
    }
}

/// The names in `objects/pack` that a snapshot has, and whether only the remote has the content.
fn packs(capture: &Capture) -> Vec<(String, bool)> {
    let entries = capture.manifest.entries.iter().filter(|entry| !entry.is_directory());
    let packs = entries.filter(|entry| entry.path.as_bytes().starts_with(b".git/objects/pack/"));
    packs
        .map(|entry| {
            let name = String::from_utf8_lossy(entry.path.file_name()).into_owned();
            (name, capture.is_remembered(&entry.path))
        })
        .collect()
}

fn count(packs: &[(String, bool)], extension: &str, remembered: bool) -> usize {
    let is = |(name, only): &&(String, bool)| name.ends_with(extension) && *only == remembered;
    packs.iter().filter(is).count()
}

#[test]
fn a_repack_carries_what_the_remote_has_and_a_pack_of_what_is_new() {
    let world = World::new("commit 1 2 3 4 5 6 7; git repack -adq");
    world.tree("git -c pack.compression=0 repack -adqF");
    let same = world.capture();
    assert_eq!(count(&packs(&same), ".pack", true), 1);
    assert_eq!(count(&packs(&same), ".pack", false), 0, "nothing is new");
    world.tree("commit 8; git -c pack.compression=0 repack -adqF");
    let more = world.capture();
    assert_eq!((count(&packs(&more), ".pack", true), count(&packs(&more), ".pack", false)), (1, 1));
    assert_eq!(world.capture().id, more.id, "the same tree has the same id");
    world.memory().remember(&more).unwrap();
    world.tree("git -c pack.compression=1 repack -adqF");
    let again = world.capture();
    assert_eq!(count(&packs(&again), ".pack", true), 2, "what was made is known as well");
}

#[test]
fn mostly_new_packs_and_kept_ones_are_carried_as_they_are() {
    let world = World::new("commit 1; git repack -adq");
    world.tree("commit 2 3 4 5 6 7 8 9; git repack -adq");
    let packs_of = |world: &World| packs(&world.capture());
    assert_eq!(count(&packs_of(&world), ".pack", true), 0);
    let world = World::new("commit 1 2 3; git repack -adq");
    world.tree("git -c pack.compression=0 repack -adqF; cd .git/objects/pack; for p in *.pack; do touch ${p%.pack}.keep; done");
    assert_eq!(count(&packs_of(&world), ".pack", true), 0);
    assert_eq!(count(&packs_of(&world), ".keep", false), 1);
}

#[test]
fn loose_objects_that_the_remote_has_are_known() {
    let world = World::new("commit 1 2 3 4");
    world.tree("git gc -q --prune=now");
    let captured = world.capture();
    assert!(packs(&captured).is_empty(), "{:?}", packs(&captured));
    let loose =
        captured.manifest.entries.iter().filter(|entry| captured.is_remembered(&entry.path));
    assert_eq!(loose.count(), 12);
}

#[test]
fn promised_objects_stay_promised() {
    let world = World::new("commit 1 2 3 4 5 6; git repack -adq");
    let promise = "cd .git/objects/pack; for p in *.pack; do touch ${p%.pack}.promisor; done";
    // As ordinary objects the remote has them, but what they refer to may be missing from now on.
    world.tree(&format!("git -c pack.compression=0 repack -adqF; {promise}"));
    let captured = world.capture();
    assert_eq!(count(&packs(&captured), ".pack", true), 0);
    world.memory().remember(&captured).unwrap();
    world.tree("commit 7; git -c pack.compression=1 repack -adqF");
    world.tree(promise);
    let packs = packs(&world.capture());
    assert_eq!((count(&packs, ".promisor", true), count(&packs, ".promisor", false)), (1, 1));
}

#[test]
fn an_upload_of_what_was_made_can_go_on_until_it_is_confirmed() {
    let world = World::new("commit 1 2 3 4 5 6 7; git repack -adq");
    world.tree("commit 8; git -c pack.compression=0 repack -adqF");
    let captured = world.capture();
    let made: handoff_proto::chunk::ChunkIdSet = captured
        .manifest
        .entries
        .iter()
        .filter(|entry| !captured.is_remembered(&entry.path))
        .flat_map(|entry| entry.chunks())
        .map(|chunk| chunk.id)
        .collect();
    // Another process captures the same tree while this one sends.
    drop(world.capture());
    let mut chunks = captured.chunks(made);
    while chunks.next_chunk().unwrap().is_some() {}
    world.memory().remember(&captured).unwrap();
    assert!(!world.memory().generated().exists(), "it takes up no room after that");
    assert!(fs::exists(world.tree.join(".git/objects/pack")).unwrap());
}

/// What a remote has of all uploads.
#[derive(Default)]
struct Remote(HashMap<ChunkId, Vec<u8>>);

impl Remote {
    /// Takes in what it lacks and puts the tree down.
    fn receive(&mut self, capture: &Capture, at: &Path) {
        let all = capture.manifest.chunks().map(|chunk| chunk.id);
        let lacking = all.filter(|id| !self.0.contains_key(id)).collect();
        let mut chunks = capture.chunks(lacking);
        while let Some((id, content)) = chunks.next_chunk().unwrap() {
            self.0.insert(id, content.to_vec());
        }
        for entry in &capture.manifest.entries {
            let path = at.join(entry.path.as_os_path());
            match &entry.kind {
                Kind::Directory => fs::create_dir(path).unwrap(),
                Kind::Symlink { target } => {
                    std::os::unix::fs::symlink(OsStr::from_bytes(target), path).unwrap();
                }
                Kind::File { chunks, .. } => {
                    let content = chunks.iter().flat_map(|chunk| &self.0[&chunk.id]);
                    fs::write(path, content.copied().collect::<Vec<u8>>()).unwrap();
                }
            }
        }
    }
}

/// Things that happen to a repository between two handoffs.
const ACTIONS: [&str; 9] = [
    "commit $r",
    "commit $r; commit 1$r; git repack -dq",
    "git -c pack.compression=$((r % 10)) repack -adqF",
    "git -c pack.compression=$((r % 10)) gc -q --prune=now",
    "git repack -adq --cruft; git multi-pack-index write --bitmap || true",
    "commit $r; git reset -q --hard HEAD~1; git reflog expire --expire=now --all",
    "commit $r; git tag -f t$r; git pack-refs --all; git repack -adbq",
    "git repack -adkq; for p in $(ls .git/objects/pack/*.pack 2>/dev/null | head -n 1); do git unpack-objects -q < $p; done",
    "mv .git/objects/pack x; mkdir .git/objects/pack; for p in $(ls x/*.pack 2>/dev/null); do git unpack-objects -q < $p; done; rm -rf x",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_to_the_packs_the_remote_has_every_object(
        actions in proptest::collection::vec((0..ACTIONS.len(), 2..90_u8), 1..7),
    ) {
        let world = World::new("commit 1; git repack -adq; git config repack.writeBitmaps false");
        let mut remote = Remote::default();
        // Nothing was sent so far.
        world.memory().forget().unwrap();
        for (step, (action, number)) in actions.into_iter().enumerate() {
            world.tree(&format!("r={number}; {}", ACTIONS[action]));
            let captured = world.capture();
            let there = world.home.path().join(format!("there-{step}"));
            fs::create_dir(&there).unwrap();
            remote.receive(&captured, &there);
            world.memory().remember(&captured).unwrap();
            let list = "git fsck --full --strict; git cat-file --batch-all-objects --batch-check";
            let theirs = world.sh(&there, list);
            let theirs: HashSet<&str> = theirs.lines().collect();
            let missing: Vec<String> = world.tree(list).lines()
                .filter(|object| !theirs.contains(object)).map(str::to_owned).collect();
            prop_assert!(missing.is_empty(), "after {}: {missing:?}", ACTIONS[action]);
        }
    }
}
