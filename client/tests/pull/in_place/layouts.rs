//! Repositories of other layouts and formats.

use std::fs;

use handoff_client::pull::plan::{Decision, LeftOut};

use crate::world::{World, git, path, write};

#[test]
fn submodules_and_nested_repositories_come_back_with_their_history() {
    let world = World::with_repository();
    let (home, local) = (world.home(), world.local());
    let library = home.join("library");
    fs::create_dir(&library).unwrap();
    world.git(&library, &["init", "-q"]);
    write(&library.join("lib.c"), b"int x;\n");
    world.git(&library, &["add", "."]);
    world.git(&library, &["commit", "-q", "-m", "library"]);
    world.git(&local, &["submodule", "-q", "add", library.to_str().unwrap(), "lib"]);
    world.git(&local, &["commit", "-q", "-m", "submodule"]);
    fs::create_dir_all(local.join("vendor/nested")).unwrap();
    world.git(&local.join("vendor/nested"), &["init", "-q"]);
    write(&local.join("vendor/nested/n.txt"), b"n\n");
    let base = world.hand_off();
    assert_eq!(base.repositories.len(), 3);
    // The copy's submodule must not point into the original.
    let run = world.remote();
    write(&run.join("lib/.git"), b"gitdir: ../.git/modules/lib\n");
    write(&run.join("lib/lib.c"), b"int y;\n");
    world.git(&run.join("lib"), &["commit", "-q", "-a", "-m", "y"]);
    world.git(&run, &["commit", "-q", "-a", "-m", "newer library"]);
    world.git(&run.join("vendor/nested"), &["add", "."]);
    world.git(&run.join("vendor/nested"), &["commit", "-q", "-m", "nested"]);
    fs::create_dir_all(run.join("fresh")).unwrap();
    world.git(&run.join("fresh"), &["init", "-q"]);
    write(&run.join("fresh/f.txt"), b"f\n");
    let returned = world.harvest(&base);
    let plan = world.plan(&returned);
    assert_eq!(plan.left_out, [LeftOut::NewRepository(path("fresh"))]);
    let before = git(&home, &local.join("lib"), &["rev-parse", "HEAD"]);
    world.pull(&returned);
    for at in ["lib", "vendor/nested"] {
        let tip = world.git(&run.join(at), &["rev-parse", "HEAD"]);
        assert_eq!(world.git(&local.join(at), &["rev-parse", "HEAD"]), tip);
        assert_eq!(world.git(&local.join(at), &["status", "--porcelain"]), "");
    }
    assert!(local.join("fresh/f.txt").exists() && !local.join("fresh/.git").exists());
    assert_eq!(world.decide(&returned).unwrap(), Decision::UpToDate);
    world.undo().unwrap();
    assert_eq!(git(&home, &local.join("lib"), &["rev-parse", "HEAD"]), before);
    assert_eq!(world.read("lib/lib.c"), "int x;\n");
}

#[test]
fn a_linked_worktree_takes_a_result() {
    let world = World::with_repository();
    let (home, local) = (world.home(), world.local());
    let main = home.join("main-copy");
    fs::rename(&local, &main).unwrap();
    world.git(&main, &["worktree", "add", "-q", "-b", "linked", local.to_str().unwrap()]);
    let base = world.hand_off();
    let run = world.remote();
    fs::remove_file(run.join(".git")).unwrap();
    world.git(&home, &["clone", "-q", "-b", "linked", main.to_str().unwrap(), "clone"]);
    fs::rename(home.join("clone/.git"), run.join(".git")).unwrap();
    world.git(&run, &["remote", "remove", "origin"]);
    write(&run.join("README.md"), b"linked\n");
    world.git(&run, &["commit", "-q", "-a", "-m", "linked"]);
    write(&run.join("README.md"), b"dirty\n");
    let returned = world.harvest(&base);
    let before = world.notice(&local);
    let main_before = world.notice(&main).0;
    world.pull(&returned);
    assert_eq!(world.read("README.md"), "dirty\n");
    let tip = world.git(&run, &["rev-parse", "HEAD"]);
    assert_eq!(world.git(&local, &["rev-parse", "linked"]), tip);
    assert_eq!(world.notice(&main).0, main_before);
    world.undo().unwrap();
    assert_eq!(world.notice(&local), before);
}

#[test]
fn a_repository_with_sha256_ids_takes_a_result() {
    let world = World::new();
    world.git(&world.local(), &["init", "-q", "--object-format=sha256"]);
    world.write("a.txt", "a\n");
    world.git(&world.local(), &["add", "."]);
    world.git(&world.local(), &["commit", "-q", "-m", "first"]);
    let base = world.hand_off();
    write(&world.remote().join("a.txt"), b"b\n");
    world.git(&world.remote(), &["commit", "-q", "-a", "-m", "second"]);
    let returned = world.harvest(&base);
    world.pull(&returned);
    assert_eq!(world.notice(&world.local()), world.notice(&world.remote()));
}
