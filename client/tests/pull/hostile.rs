//! What comes out of a sandbox is not trusted: refused with its name, and nothing is touched.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use handoff_client::pull::apply::Step;
use handoff_client::pull::plan::{Decision, PlanError};
use handoff_proto::manifest::{
    Head, IndexEntry, IndexFlags, Kind, Limits, Oid, RefName, ResultManifest,
};
use handoff_proto::path::TreePath;

use crate::program;
use crate::world::{Picture, Returned, World, assert_same, file, git_fed, path, put, write};

/// Everything in the home, objects and configuration included.
fn everything(world: &World) -> Picture {
    world.picture(&|path| path == Path::new("state") || path == Path::new("run"))
}

fn handed_off() -> (World, Returned) {
    let world = World::with_repository();
    let base = world.hand_off();
    let returned = world.harvest(&base);
    (world, returned)
}

/// Plans and applies, and expects to be refused with this text and to find nothing changed.
fn check_refused(world: &World, returned: &Returned, named: &str) {
    let before = everything(world);
    let error = match world.decide(returned) {
        Err(error) => error.to_string(),
        Ok(Decision::InPlace(plan)) => {
            let error = world.apply(returned, &plan, &mut |_| {}).unwrap_err();
            assert!(error.is_hostile() || error.is_conflict(), "{error}");
            error.to_string()
        }
        Ok(other) => panic!("{other:?}"),
    };
    assert!(error.contains(named), "{named:?} is not named: {error}");
    assert_same(&everything(world), &before, named);

    // The way into a directory of its own is no easier.
    let error = world.pull_elsewhere(returned).unwrap_err();
    assert!(error.is_hostile() || error.is_conflict(), "{error}");
    assert!(error.to_string().contains(named), "{named:?} is not named: {error}");
    assert_same(&everything(world), &before, named);
}

#[test]
fn paths_that_leave_the_tree_are_no_paths() {
    for bad in ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/.", "", "a\0b"] {
        assert!(TreePath::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in
        ["refs/heads/../../x", "HEAD", "refs/heads/a..b", "refs/heads/x.lock", "refs/heads/a b"]
    {
        assert!(RefName::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn files_of_git_in_any_spelling_are_refused() {
    let spellings = [
        ".git/hooks/post-checkout",
        ".GIT/config",
        "git~1/config",
        "src/.git/config",
        ".git /config",
        ".git::$INDEX_ALLOCATION/config",
        ".g\u{200c}it/config",
        "src\\.git/x",
    ];
    for at in spellings {
        let (world, mut returned) = handed_off();
        file(&mut returned, at, 0o755, b"#!/bin/sh\n");
        let first = path(at);
        let shown =
            first.components().find(|name| TreePath::parse(name).unwrap().has_git_component());
        let shown = TreePath::parse(shown.unwrap()).unwrap().to_string();
        check_refused(&world, &returned, &shown);
        let encoded = returned.result.encode();
        let error = ResultManifest::decode(&encoded, &Limits::DEFAULT).unwrap_err();
        assert!(error.to_string().contains(&shown), "{error}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let world = World::with_repository();
    let outside = world.home().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, world.local().join("carried")).unwrap();
    symlink(&outside, world.local().join("target")).unwrap();
    let base = world.hand_off();

    // A link that was not handed off is in the way.
    let mut returned = world.harvest(&base);
    file(&mut returned, "target/x", 0o644, b"x");
    assert!(
        matches!(world.decide(&returned), Err(PlanError::Occupied(at)) if at == path("target"))
    );

    // One that was becomes a directory.
    let mut returned = world.harvest(&base);
    put(&mut returned, "carried", 0o755, Kind::Directory);
    file(&mut returned, "carried/x", 0o644, b"x");
    world.pull(&returned);
    assert!(world.local().join("carried/x").exists());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    world.undo().unwrap();
    assert!(world.local().join("carried").is_symlink());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_directory_that_turns_into_a_link_meanwhile_leads_nowhere() {
    let (world, mut returned) = handed_off();
    let outside = world.home().join("outside");
    fs::create_dir(&outside).unwrap();
    file(&mut returned, "src/main.rs", 0o644, b"// theirs\n");
    file(&mut returned, "src/new.rs", 0o644, b"// theirs\n");
    let plan = world.plan(&returned);
    let src = world.local().join("src");
    let error = world
        .apply(&returned, &plan, &mut |step| {
            if *step == Step::Lock {
                fs::rename(&src, world.home().join("moved")).unwrap();
                symlink(&outside, &src).unwrap();
            }
        })
        .unwrap_err();
    assert!(error.to_string().contains("src/"), "{error}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let moved = fs::read_to_string(world.home().join("moved/main.rs")).unwrap();
    assert_eq!(moved, "fn main() {}\n");
}

#[test]
fn trees_with_bad_names_are_refused_by_object() {
    for name in [
        ".git",
        ".GIT",
        "git~1",
        ".git ",
        ".git::$INDEX_ALLOCATION",
        "..",
        ".",
        "a/b",
        ".g\u{200c}it",
    ] {
        let world = World::with_repository();
        let base = world.hand_off();
        let tree = tree_with(&world, "100644", name, b"[core]\n");
        commit(&world, &tree);
        check_refused(&world, &world.harvest(&base), &tree);
    }
}

#[test]
fn a_linked_gitmodules_is_refused_wherever_it_is() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = tree_with(&world, "120000", ".gitmodules", b"../../etc/passwd");
    commit(&world, &tree);
    check_refused(&world, &world.harvest(&base), &tree);

    for at in [".gitmodules", "sub/.GITMODULES", "gitmod~1"] {
        let (world, mut returned) = handed_off();
        put(&mut returned, at, 0o777, Kind::Symlink { target: b"elsewhere".to_vec() });
        check_refused(&world, &returned, at);
    }
    let (world, mut returned) = handed_off();
    stage(&mut returned, ".gitmodules", 0o120_000);
    check_refused(&world, &returned, ".gitmodules");
}

#[test]
fn index_entries_in_git_directories_are_refused() {
    for at in [".git/config", "sub/.GIT/hooks/x"] {
        let (world, mut returned) = handed_off();
        stage(&mut returned, at, 0o100_644);
        check_refused(&world, &returned, at);
        assert!(returned.result.validate(&Limits::DEFAULT).is_err());
    }
}

#[test]
fn objects_that_are_missing_or_of_another_type_are_refused() {
    let missing = Oid::parse(b"0123456789012345678901234567890123456789").unwrap();
    let named = missing.to_string();

    let (world, mut returned) = handed_off();
    returned.result.repositories[0].head = Head::Branch(branch("main"), Some(missing));
    check_refused(&world, &returned, &named);

    let (world, mut returned) = handed_off();
    stage(&mut returned, "new.txt", 0o100_644);
    returned.result.repositories[0].index.iter_mut().for_each(|entry| entry.oid = missing);
    check_refused(&world, &returned, &named);

    // A tree where a blob is staged, a blob where a branch should be.
    let (world, mut returned) = handed_off();
    let tree = world.git(&world.local(), &["rev-parse", "HEAD^{tree}"]);
    returned.result.repositories[0].index[0].oid = Oid::parse(tree.trim().as_bytes()).unwrap();
    check_refused(&world, &returned, tree.trim());
    let (world, mut returned) = handed_off();
    let blob = world.git(&world.local(), &["rev-parse", "HEAD:README.md"]);
    let blob = Oid::parse(blob.trim().as_bytes()).unwrap();
    returned.result.repositories[0].head = Head::Branch(branch("main"), Some(blob));
    check_refused(&world, &returned, &blob.to_string());
}

#[test]
fn a_pack_that_is_damaged_or_incomplete_is_refused() {
    let world = World::with_repository();
    let base = world.hand_off();
    write(&world.remote().join("README.md"), b"theirs\n");
    world.git(&world.remote(), &["commit", "-q", "-a", "-m", "theirs"]);
    let tip = world.git(&world.remote(), &["rev-parse", "HEAD"]);

    let mut returned = world.harvest(&base);
    returned.result.repositories[0].pack.clear();
    check_refused(&world, &returned, tip.trim());

    // Only the commit, without its tree.
    let mut returned = world.harvest(&base);
    let pack = git_fed(
        &world.home(),
        &world.remote(),
        &["pack-objects", "--stdout", "-q"],
        tip.as_bytes(),
    );
    set_pack(&mut returned, &pack);
    check_refused(&world, &returned, "git refuses the objects");

    let mut returned = world.harvest(&base);
    let mut cut = pack.clone();
    cut.truncate(pack.len() - 7);
    set_pack(&mut returned, &cut);
    check_refused(&world, &returned, "git refuses the objects");

    let mut returned = world.harvest(&base);
    set_pack(&mut returned, b"not a pack at all");
    check_refused(&world, &returned, "git refuses the objects");
}

#[test]
fn head_may_only_name_branches() {
    let (world, mut returned) = handed_off();
    let tip = returned.result.repositories[0].head.oid();
    let name = RefName::parse(b"refs/handoff/x").unwrap();
    returned.result.repositories[0].head = Head::Branch(name, tip);
    check_refused(&world, &returned, "refs/handoff/x");
}

#[test]
fn references_that_cannot_exist_beside_each_other_are_a_conflict() {
    let world = World::with_repository();
    let base = world.hand_off();
    world.git(&world.remote(), &["branch", "side"]);
    let returned = world.harvest(&base);
    world.git(&world.local(), &["update-ref", "refs/handoff/fix", "HEAD"]);
    let before = world.notice(&world.local());
    let plan = world.plan(&returned);
    let error = world.apply(&returned, &plan, &mut |_| {}).unwrap_err();
    assert!(error.is_conflict() && error.to_string().contains("refs/handoff/fix"), "{error}");
    assert_eq!(world.notice(&world.local()), before);
    assert!(world.pull_elsewhere(&returned).unwrap_err().is_conflict());
    assert!(!world.beside().exists());
    assert_eq!(world.notice(&world.local()), before);
}

#[test]
fn no_program_of_anybody_runs() {
    let world = World::with_repository();
    let local = world.local();
    let marker = world.home().join("marker");
    let script = world.home().join("evil.sh");
    program::write(&script, &format!("#!/bin/sh\ntouch {}\ncat\n", marker.display()));
    let evil = script.to_str().unwrap();
    let hooks = local.join(".git/hooks");
    for hook in
        ["post-checkout", "post-index-change", "reference-transaction", "post-merge", "pre-commit"]
    {
        drop(fs::remove_file(hooks.join(hook)));
        fs::create_dir_all(&hooks).unwrap();
        symlink(&script, hooks.join(hook)).unwrap();
    }
    let base = world.hand_off();
    let run = world.remote();
    fs::remove_dir_all(run.join(".git/hooks")).unwrap();
    write(&run.join(".gitattributes"), b"* filter=evil diff=evil merge=evil\n");
    write(&run.join("README.md"), b"theirs\n");
    world.git(&run, &["add", "."]);
    world.git(&run, &["commit", "-q", "-m", "theirs"]);
    write(&run.join("README.md"), b"and more\n");
    let returned = world.harvest(&base);
    // The user's own settings, which a result could make git use.
    let mut settings = fs::OpenOptions::new().append(true).open(local.join(".git/config")).unwrap();
    writeln!(
        settings,
        "[core]\n\tfsmonitor = {evil}\n\thooksPath = .git/hooks\n[filter \"evil\"]\n\tclean = {evil}\n\tsmudge = {evil}\n\tprocess = {evil}\n[diff \"evil\"]\n\ttextconv = {evil}\n\tcommand = {evil}"
    )
    .unwrap();
    drop(settings);
    // Capturing is done here by plain git, which does run programs.
    let captured = world.capture();
    let plan = world.plan(&returned);
    drop(fs::remove_file(&marker));
    world.apply_to(&captured, &returned, &plan, &mut |_| {}).unwrap();
    assert!(!marker.exists(), "a pull ran a program");
    world.undo().unwrap();
    assert!(!marker.exists(), "an undo ran a program");
    // The trap works: git itself falls into it.
    world.git(&local, &["update-index", "--refresh"]);
    assert!(marker.exists());
}

fn branch(name: &str) -> RefName {
    RefName::parse(format!("refs/heads/{name}").as_bytes()).unwrap()
}

/// Stages a path with the content of some staged file.
fn stage(returned: &mut Returned, at: &str, mode: u32) {
    let index = &mut returned.result.repositories[0].index;
    let oid = index[0].oid;
    index.push(IndexEntry { path: path(at), mode, oid, stage: 0, flags: IndexFlags::NONE });
    index.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
}

/// Makes a tree in the run with one entry that git would never write.
fn tree_with(world: &World, mode: &str, name: &str, content: &[u8]) -> String {
    let (home, run) = (world.home(), world.remote());
    let blob = git_fed(&home, &run, &["hash-object", "-w", "--stdin"], content);
    let blob = Oid::parse(blob.strip_suffix(b"\n").unwrap()).unwrap();
    let mut tree = format!("{mode} {name}\0").into_bytes();
    tree.extend(blob.as_bytes());
    let words = ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"];
    String::from_utf8(git_fed(&home, &run, &words, &tree)).unwrap().trim().to_owned()
}

/// Makes a branch of the run point to a commit with this tree.
fn commit(world: &World, tree: &str) {
    let run = world.remote();
    let commit = world.git(&run, &["commit-tree", "-p", "HEAD", "-m", "evil", tree]);
    world.git(&run, &["update-ref", "refs/heads/main", commit.trim()]);
}

fn set_pack(returned: &mut Returned, pack: &[u8]) {
    file(returned, "pack-content", 0o644, pack);
    let chunks = returned.result.entry(&path("pack-content")).unwrap().chunks().to_vec();
    returned.result.entries.retain(|entry| entry.path != path("pack-content"));
    returned.result.repositories[0].pack = chunks;
}
