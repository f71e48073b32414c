//! Repositories: heads, references, index, operations in progress, and one pack.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use handoff_proto::manifest::{Head, IndexFlags, Operation, RepositoryResult};

use crate::world::{Harvested, World, commit, git, git_command, write};

fn root(harvested: &Harvested) -> &RepositoryResult {
    harvested.manifest.repositories.iter().find(|r| r.path.is_none()).expect("root repository")
}

/// Takes the pack into a repository with git's strictest checks and lists what is in it.
fn index_pack(world: &World, repository: &RepositoryResult, into: &Path) -> BTreeSet<String> {
    let pack = world.chunks(&repository.pack);
    let mut child = git_command(into)
        .args(["index-pack", "--strict", "--stdin", "--fix-thin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git");
    child.stdin.take().expect("stdin").write_all(&pack).expect("pack");
    let output = child.wait_with_output().expect("git");
    assert!(output.status.success(), "index-pack refused the pack");
    let name = String::from_utf8(output.stdout).expect("text");
    let name = name.trim_end().rsplit('\t').next().expect("name").to_owned();
    let index = into.join(format!(".git/objects/pack/pack-{name}.idx"));
    let listed = git(into, &["verify-pack", "-v", index.to_str().expect("path")]);
    let is_object = |line: &&str| {
        line.split(' ').nth(1).is_some_and(|kind| ["commit", "tree", "blob", "tag"].contains(&kind))
    };
    let oid = |line: &str| line.split(' ').next().expect("object id").to_owned();
    listed.lines().filter(is_object).map(oid).collect()
}

fn new_objects(tree: &Path, old: &str) -> BTreeSet<String> {
    let listed = git(tree, &["rev-list", "--objects", "--all", "--not", old]);
    listed.lines().map(|line| line.split(' ').next().expect("id").to_owned()).collect()
}

fn branch(name: &str) -> handoff_proto::manifest::RefName {
    format!("refs/heads/{name}").parse().expect("reference")
}

#[test]
fn commits_and_branches_return_with_exactly_their_objects() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    let old = git(&tree, &["rev-parse", "HEAD"]);
    write(&tree.join("a.txt"), "changed\n");
    commit(&tree, "second");
    git(&tree, &["switch", "-q", "-c", "feature/x"]);
    write(&tree.join("dir/new.txt"), "new\n");
    commit(&tree, "third");
    git(&tree, &["tag", "-a", "v1", "-m", "one"]);
    git(&tree, &["pack-refs", "--all"]);
    git(&tree, &["branch", "later"]);
    let harvested = world.harvest(&base);
    assert_eq!(harvested.outcome.branch, "feature/x");
    let repository = root(&harvested);
    let tip = git(&tree, &["rev-parse", "HEAD"]).trim_end().parse().expect("id");
    assert_eq!(repository.head, Head::Branch(branch("feature/x"), Some(tip)));
    let names: Vec<String> = repository.refs.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(
        names,
        ["refs/heads/feature/x", "refs/heads/later", "refs/heads/main", "refs/tags/v1"]
    );
    let packed = index_pack(&world, repository, &world.laptop());
    assert_eq!(packed, new_objects(&tree, old.trim_end()));
    // The laptop now has all that the branches need.
    git(&world.laptop(), &["update-ref", "refs/handoff/x", &tip.to_string()]);
    git(&world.laptop(), &["fsck", "--strict", "--connectivity-only"]);
    assert_eq!(harvested.counts(), (1, 1, 0));
}

#[test]
fn the_index_returns_as_it_is_with_the_objects_of_what_is_staged() {
    let world = World::with_repository();
    write(&world.laptop().join("staged-before"), "before\n");
    git(&world.laptop(), &["add", "staged-before"]);
    let base = world.hand_off();
    let tree = world.tree();
    write(&tree.join("a.txt"), "staged\n");
    git(&tree, &["add", "a.txt"]);
    write(&tree.join("a.txt"), "and changed again\n");
    git(&tree, &["rm", "-q", "--cached", "b.txt"]);
    git(&tree, &["mv", "dir/c.txt", "dir/renamed.txt"]);
    write(&tree.join("intended"), "x");
    git(&tree, &["add", "-N", "intended"]);
    git(&tree, &["update-index", "--skip-worktree", "dir/renamed.txt"]);
    git(&tree, &["update-index", "--assume-unchanged", "staged-before"]);
    let harvested = world.harvest(&base);
    let repository = root(&harvested);
    let index: Vec<(String, u8)> =
        repository.index.iter().map(|entry| (entry.path.to_string(), entry.flags.bits())).collect();
    assert_eq!(
        index,
        [
            ("a.txt".to_owned(), 0),
            ("dir/renamed.txt".to_owned(), IndexFlags::SKIP_WORKTREE.bits()),
            ("intended".to_owned(), IndexFlags::INTENT_TO_ADD.bits()),
            ("staged-before".to_owned(), IndexFlags::ASSUME_UNCHANGED.bits()),
        ]
    );
    let staged = git(&tree, &["rev-parse", ":a.txt"]).trim_end().to_owned();
    let packed = index_pack(&world, repository, &world.laptop());
    let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391".to_owned();
    let without_empty: BTreeSet<String> = packed.into_iter().filter(|id| *id != empty).collect();
    assert_eq!(without_empty, BTreeSet::from([staged]), "nothing that the laptop has");
    let file = harvested.entry("a.txt").expect("file");
    assert_eq!(world.content(file), b"and changed again\n");
}

#[test]
fn split_and_sparse_indexes_are_listed_in_full() {
    let world = World::with_repository();
    let base = world.hand_off();
    let names = |harvested: &Harvested| {
        root(harvested).index.iter().map(|e| e.path.to_string()).collect::<Vec<_>>()
    };
    git(&world.tree(), &["update-index", "--split-index"]);
    write(&world.tree().join("z"), "z");
    git(&world.tree(), &["add", "z"]);
    assert_eq!(names(&world.harvest(&base)), ["a.txt", "b.txt", "dir/c.txt", "z"]);
    git(&world.tree(), &["update-index", "--no-split-index"]);
    git(&world.tree(), &["update-index", "-q", "--refresh"]);
    git(&world.tree(), &["sparse-checkout", "set", "--cone", "--sparse-index"]);
    let harvested = world.harvest(&base);
    assert_eq!(names(&harvested), ["a.txt", "b.txt", "dir/c.txt", "z"]);
    assert!(root(&harvested).index[2].flags.contains(IndexFlags::SKIP_WORKTREE));
}

#[test]
fn a_merge_with_conflicts_returns_in_the_middle_of_it() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    git(&tree, &["switch", "-q", "-c", "other"]);
    write(&tree.join("a.txt"), "theirs\n");
    commit(&tree, "theirs");
    let theirs = git(&tree, &["rev-parse", "HEAD"]).trim_end().parse().expect("id");
    git(&tree, &["switch", "-q", "main"]);
    write(&tree.join("a.txt"), "ours\n");
    commit(&tree, "ours");
    let merged = git_command(&tree).args(["merge", "-q", "other"]).output().expect("git");
    assert!(!merged.status.success(), "the merge has conflicts");
    let harvested = world.harvest(&base);
    let repository = root(&harvested);
    assert_eq!(repository.in_progress, [(Operation::Merge, vec![theirs])]);
    let stages: Vec<u8> = repository
        .index
        .iter()
        .filter(|entry| entry.path.as_bytes() == b"a.txt")
        .map(|entry| entry.stage)
        .collect();
    assert_eq!(stages, [1, 2, 3]);
    let file = harvested.entry("a.txt").expect("file");
    assert!(String::from_utf8(world.content(file)).expect("text").contains("<<<<<<<"));
}

#[test]
fn operations_in_progress_are_named_with_their_heads() {
    for (command, operation) in
        [("cherry-pick", Operation::CherryPick), ("revert", Operation::Revert)]
    {
        let world = World::with_repository();
        write(&world.laptop().join("a.txt"), "two\n");
        commit(&world.laptop(), "two");
        write(&world.laptop().join("a.txt"), "three\n");
        commit(&world.laptop(), "three");
        let base = world.hand_off();
        let tree = world.tree();
        git(&tree, &["switch", "-q", "-c", "x", "HEAD~2"]);
        write(&tree.join("a.txt"), "other\n");
        commit(&tree, "other");
        let picked = git_command(&tree).args([command, "main"]).output().expect("git");
        assert!(!picked.status.success(), "{command} has conflicts");
        let head = git(&tree, &["rev-parse", "main"]).trim_end().parse().expect("id");
        let harvested = world.harvest(&base);
        assert_eq!(root(&harvested).in_progress, [(operation, vec![head])]);
    }
}

#[test]
fn a_detached_head_and_an_unborn_branch_are_returned_as_such() {
    let world = World::with_repository();
    let base = world.hand_off();
    git(&world.tree(), &["checkout", "-q", "--detach"]);
    let tip = git(&world.tree(), &["rev-parse", "HEAD"]).trim_end().parse().expect("id");
    let harvested = world.harvest(&base);
    assert_eq!(root(&harvested).head, Head::Detached(tip));
    assert_eq!(harvested.outcome.branch, "");
    git(&world.tree(), &["switch", "-q", "--orphan", "fresh"]);
    let harvested = world.harvest(&base);
    assert_eq!(root(&harvested).head, Head::Branch(branch("fresh"), None));
    assert_eq!(harvested.outcome.branch, "fresh");
}

#[test]
fn history_that_was_collected_as_garbage_still_returns() {
    let world = World::with_repository();
    write(&world.laptop().join("a.txt"), "second\n");
    commit(&world.laptop(), "second");
    let base = world.hand_off();
    let tree = world.tree();
    write(&tree.join("a.txt"), "amended\n");
    git(&tree, &["commit", "-q", "-a", "--amend", "-m", "amended"]);
    git(&tree, &["reflog", "expire", "--expire=now", "--all"]);
    git(&tree, &["gc", "-q", "--prune=now"]);
    let harvested = world.harvest(&base);
    let packed = index_pack(&world, root(&harvested), &world.laptop());
    let tip = git(&tree, &["rev-parse", "HEAD"]).trim_end().to_owned();
    assert!(packed.contains(&tip));
    git(&world.laptop(), &["update-ref", "refs/handoff/x", &tip]);
    git(&world.laptop(), &["fsck", "--strict", "--connectivity-only"]);
}

#[test]
fn shallow_clones_and_other_object_formats_are_understood() {
    let world = World::new();
    let origin = world.path("origin");
    fs::create_dir(&origin).expect("directory");
    git(&origin, &["init", "-q", "-b", "main"]);
    for content in ["1", "2", "3"] {
        write(&origin.join("file"), content);
        commit(&origin, content);
    }
    let url = format!("file://{}", origin.display());
    git(&world.path("."), &["clone", "-q", "--depth=1", &url, "laptop"]);
    let base = world.hand_off();
    write(&world.tree().join("file"), "4");
    commit(&world.tree(), "4");
    let harvested = world.harvest(&base);
    assert_eq!(harvested.notes, [""; 0]);
    assert_eq!(index_pack(&world, root(&harvested), &world.laptop()).len(), 3);

    let world = World::new();
    git(&world.laptop(), &["init", "-q", "-b", "main", "--object-format=sha256"]);
    write(&world.laptop().join("file"), "1");
    commit(&world.laptop(), "1");
    let base = world.hand_off();
    write(&world.tree().join("file"), "2");
    commit(&world.tree(), "2");
    let harvested = world.harvest(&base);
    assert_eq!(harvested.notes, [""; 0]);
    assert_eq!(index_pack(&world, root(&harvested), &world.laptop()).len(), 3);
}

#[test]
fn submodules_return_by_the_same_procedure() {
    let world = World::with_repository();
    let library = world.path("library");
    fs::create_dir(&library).expect("directory");
    git(&library, &["init", "-q", "-b", "main"]);
    write(&library.join("lib.txt"), "1");
    commit(&library, "library");
    let path = library.display().to_string();
    git(&world.laptop(), &["submodule", "-q", "add", &path, "vendor/lib"]);
    commit(&world.laptop(), "with library");
    let base = world.hand_off();
    let tree = world.tree();
    write(&tree.join("vendor/lib/lib.txt"), "2");
    git(&tree.join("vendor/lib"), &["switch", "-q", "-c", "fix"]);
    commit(&tree.join("vendor/lib"), "fixed");
    commit(&tree, "use the fix");
    let harvested = world.harvest(&base);
    assert_eq!(harvested.notes, [""; 0]);
    let paths: Vec<Option<String>> = harvested
        .manifest
        .repositories
        .iter()
        .map(|repository| repository.path.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(paths, [None, Some("vendor/lib".to_owned())]);
    let submodule = &harvested.manifest.repositories[1];
    let tip = submodule.head.oid().expect("commit");
    assert_eq!(submodule.head, Head::Branch(branch("fix"), Some(tip)));
    let link = root(&harvested).index.iter().find(|e| e.path.as_bytes() == b"vendor/lib");
    assert_eq!(link.map(|entry| (entry.mode, entry.oid)), Some((0o160_000, tip)));
    assert_eq!(index_pack(&world, submodule, &library).len(), 3);
    assert!(harvested.manifest.new_repositories.is_empty());
    assert!(harvested.entry("vendor/lib/.git").is_none());
}

#[test]
fn new_repositories_return_as_files_and_are_listed() {
    let world = World::with_repository();
    let base = world.hand_off();
    let nested = world.tree().join("made/here");
    fs::create_dir_all(&nested).expect("directory");
    git(&nested, &["init", "-q"]);
    write(&nested.join(".gitignore"), "*.o\n");
    write(&nested.join("x.o"), "ignored");
    write(&nested.join("kept.o"), "tracked");
    write(&nested.join("source"), "x");
    git(&nested, &["add", "-f", "kept.o"]);
    commit(&nested, "nested");
    fs::create_dir_all(world.tree().join("no-repository/.git")).expect("directory");
    write(&world.tree().join("no-repository/file"), "x");
    let harvested = world.harvest(&base);
    let new: Vec<String> =
        harvested.manifest.new_repositories.iter().map(ToString::to_string).collect();
    assert_eq!(new, ["made/here"]);
    assert_eq!(harvested.manifest.repositories.len(), 1);
    for path in
        ["made/here/.gitignore", "made/here/kept.o", "made/here/source", "no-repository/file"]
    {
        assert!(harvested.entry(path).is_some(), "{path}");
    }
    for path in ["made/here/x.o", "made/here/.git", "no-repository/.git"] {
        assert!(harvested.entry(path).is_none(), "{path}");
    }
}

#[test]
fn a_repository_that_is_gone_is_not_returned_and_its_files_are() {
    let world = World::with_repository();
    let base = world.hand_off();
    fs::remove_dir_all(world.tree().join(".git")).expect("remove");
    let harvested = world.harvest(&base);
    assert!(harvested.manifest.repositories.is_empty());
    assert_eq!(harvested.counts(), (0, 0, 0));
}

#[test]
fn what_is_odd_about_a_repository_is_said_and_its_files_return() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil); 7] = [
        ("reftable", |git_dir| fs::create_dir(git_dir.join("reftable")).expect("reftable")),
        ("neither an id nor a reference", |git_dir| write(&git_dir.join("HEAD"), "x")),
        ("no valid reference", |git_dir| write(&git_dir.join("HEAD"), "ref: ../../etc/passwd\n")),
        ("symbolic link", |git_dir| {
            std::os::unix::fs::symlink("main", git_dir.join("refs/heads/linked")).expect("link");
        }),
        ("is missing", |git_dir| {
            write(&git_dir.join("HEAD"), "1234567890123456789012345678901234567890\n");
        }),
        ("holds no object ids", |git_dir| write(&git_dir.join("MERGE_HEAD"), "x\n")),
        ("ls-files", |git_dir| write(&git_dir.join("index"), "DIRC and nonsense")),
    ];
    for (reason, spoil) in cases {
        let world = World::with_repository();
        let base = world.hand_off();
        write(&world.tree().join("new"), "x");
        spoil(&world.tree().join(".git"));
        let harvested = world.harvest(&base);
        assert!(harvested.manifest.repositories.is_empty(), "{reason}");
        assert!(harvested.has_note(reason), "{reason}: {:?}", harvested.notes);
        assert!(harvested.entry("new").is_some(), "{reason}");
    }
}

#[test]
fn broken_references_are_left_out_by_name() {
    let world = World::with_repository();
    let base = world.hand_off();
    let heads = world.tree().join(".git/refs/heads");
    write(&heads.join("broken"), "garbage\n");
    write(&heads.join("missing"), "1234567890123456789012345678901234567890\n");
    write(&heads.join("bad..name"), "1234567890123456789012345678901234567890\n");
    write(&heads.join("symbolic"), "ref: refs/heads/main\n");
    let harvested = world.harvest(&base);
    let names: Vec<String> =
        root(&harvested).refs.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["refs/heads/main"]);
    for name in ["broken", "missing", "bad..name"] {
        assert!(harvested.has_note(name), "{name}: {:?}", harvested.notes);
    }
}
