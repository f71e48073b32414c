//! Repositories of every layout are the same after they were carried.

use std::fs;

use handoff_proto::manifest::{Head, Operation};

use super::{STATUS, Tree, git_command, paths};

#[test]
fn a_repository_is_the_same_after_it_was_carried() {
    let tree = Tree::with_repository();
    tree.git("tree", &["stash", "--include-untracked", "--quiet"]);
    tree.write("tree/staged", "again");
    tree.git("tree", &["add", "staged"]);
    tree.write("tree/untracked", "again");
    let before = tree.git("tree", &STATUS);
    let captured = tree.capture("tree");
    assert_eq!(paths(&captured), [".gitignore", "committed", "staged", "untracked"]);
    let repository = &captured.manifest.repositories[0];
    assert_eq!(repository.path, None);
    assert!(
        matches!(&repository.state.head, Head::Branch(name, Some(_)) if name.as_bytes() == b"refs/heads/main")
    );
    assert_eq!(repository.state.refs.len(), 2);
    let (tree, _) = tree.moved("tree");
    assert_eq!(tree.git("tree", &STATUS), before);
    tree.git("tree", &["fsck", "--strict"]);
}

#[test]
fn a_linked_worktree_becomes_a_repository_of_its_own() {
    let tree = Tree::with_repository();
    tree.git("tree", &["worktree", "add", "--quiet", "-b", "side", "../linked"]);
    tree.write("linked/untracked", "u");
    tree.write("linked/committed", "changed");
    tree.git("linked", &["add", "committed"]);
    let before = tree.git("linked", &STATUS);
    let log = tree.git("linked", &["log", "--all", "--format=%H %D"]);
    let (tree, captured) = tree.moved("linked");
    assert_eq!(captured.manifest.repositories[0].git_dir.as_bytes(), b".git");
    assert_eq!(tree.git("linked", &STATUS), before);
    assert_eq!(tree.git("linked", &["log", "--all", "--format=%H %D"]), log);
    assert!(!tree.path("linked/.git/commondir").exists());
    assert!(!tree.path("linked/.git/worktrees").exists());
    tree.git("linked", &["fsck", "--strict"]);
    tree.git("linked", &["commit", "--quiet", "--message=two"]);
}

#[test]
fn a_worktree_of_a_bare_repository_is_not_bare() {
    let tree = Tree::with_repository();
    tree.git(".", &["clone", "--quiet", "--bare", "tree", "bare"]);
    tree.git("bare", &["worktree", "add", "--quiet", "../linked", "main"]);
    let before = tree.git("linked", &STATUS);
    let (tree, _) = tree.moved("linked");
    assert_eq!(tree.git("linked", &STATUS), before);
}

#[test]
fn a_worktree_within_the_tree_stays_as_it_is() {
    let tree = Tree::with_repository();
    tree.git("tree", &["worktree", "add", "--quiet", "-b", "side", "inner"]);
    let before = tree.git("tree/inner", &STATUS);
    let (tree, captured) = tree.moved("tree");
    let git_dirs: Vec<_> =
        captured.manifest.repositories.iter().map(|r| r.git_dir.to_string()).collect();
    assert_eq!(git_dirs, [".git", ".git/worktrees/inner"]);
    assert_eq!(tree.git("tree/inner", &STATUS), before);
}

#[test]
fn borrowed_objects_come_along() {
    let tree = Tree::with_repository();
    tree.git(".", &["clone", "--quiet", "--shared", "tree", "clone"]);
    tree.write("clone/new", "new");
    tree.git("clone", &["add", "new"]);
    let (tree, _) = tree.moved("clone");
    assert!(!tree.path("clone/.git/objects/info/alternates").exists());
    tree.git("clone", &["fsck", "--strict", "--full"]);
    tree.git("clone", &["commit", "--quiet", "--message=two"]);
}

#[test]
fn submodules_and_nested_repositories_are_carried_with_their_state() {
    let tree = Tree::with_repository();
    tree.make_repository("library");
    tree.git("tree", &["submodule", "--quiet", "add", "../library", "sub"]);
    tree.make_repository("tree/nested");
    tree.write("tree/sub/committed", "changed in sub");
    tree.write("tree/nested/untracked", "u");
    let before = [
        tree.git("tree", &STATUS),
        tree.git("tree/sub", &STATUS),
        tree.git("tree/nested", &STATUS),
    ];
    let (tree, captured) = tree.moved("tree");
    let git_dirs: Vec<_> =
        captured.manifest.repositories.iter().map(|r| r.git_dir.to_string()).collect();
    assert_eq!(git_dirs, [".git", "nested/.git", ".git/modules/sub"]);
    let after = [
        tree.git("tree", &STATUS),
        tree.git("tree/sub", &STATUS),
        tree.git("tree/nested", &STATUS),
    ];
    assert_eq!(after, before);
}

#[test]
fn a_submodule_handed_off_alone_is_a_repository() {
    let tree = Tree::with_repository();
    tree.make_repository("library");
    tree.git("tree", &["submodule", "--quiet", "add", "../library", "sub"]);
    let before = tree.git("tree/sub", &STATUS);
    let (tree, _) = tree.moved("tree/sub");
    assert_eq!(tree.git("tree/sub", &STATUS), before);
}

#[test]
fn credentials_stay_here() {
    let tree = Tree::with_repository();
    tree.git("tree", &["remote", "add", "origin", "https://me:s3cret@host/x.git"]);
    tree.git("tree", &["config", "http.https://host/.extraHeader", "Authorization: s3cret"]);
    tree.git("tree", &["config", "alias.x", "log"]);
    let on_disk = fs::read_to_string(tree.path("tree/.git/config")).unwrap();
    let (tree, captured) = tree.moved("tree");
    let carried = fs::read_to_string(tree.path("tree/.git/config")).unwrap();
    assert!(on_disk.contains("s3cret") && !carried.contains("s3cret"), "{carried}");
    assert_eq!(tree.git("tree", &["config", "remote.origin.url"]), "https://host/x.git\n");
    assert_eq!(tree.git("tree", &["config", "alias.x"]), "log\n");
    let (path, keys) = &captured.redacted[0];
    assert_eq!(path.as_bytes(), b".git/config");
    assert_eq!(keys, &["remote.origin.url", "http.https://host/.extraheader"]);
}

#[test]
fn a_merge_in_progress_stays_in_progress() {
    let tree = Tree::with_repository();
    tree.git("tree", &["stash", "--quiet"]);
    tree.git("tree", &["switch", "--quiet", "--create", "side"]);
    tree.write("tree/committed", "side");
    tree.git("tree", &["commit", "--quiet", "--all", "--message=side"]);
    tree.git("tree", &["switch", "--quiet", "main"]);
    tree.write("tree/committed", "main");
    tree.git("tree", &["commit", "--quiet", "--all", "--message=main"]);
    let merge = git_command(&tree.path("tree"), &["merge", "side"]).output().unwrap();
    assert!(!merge.status.success());
    let before = tree.git("tree", &STATUS);
    let captured = tree.capture("tree");
    let state = &captured.manifest.repositories[0].state;
    assert_eq!(state.in_progress.len(), 1);
    assert_eq!((state.in_progress[0].0, state.in_progress[0].1.len()), (Operation::Merge, 1));
    let (tree, _) = tree.moved("tree");
    assert_eq!(tree.git("tree", &STATUS), before);
}

#[test]
fn a_repository_without_a_commit_and_a_detached_head_are_states_too() {
    let tree = Tree::new();
    tree.git("tree", &["init", "--quiet", "--initial-branch=new"]);
    let head = |tree: &Tree| tree.capture("tree").manifest.repositories[0].state.head.clone();
    assert!(
        matches!(head(&tree), Head::Branch(name, None) if name.as_bytes() == b"refs/heads/new")
    );
    let tree = Tree::with_repository();
    tree.git("tree", &["checkout", "--quiet", "--detach"]);
    assert!(matches!(head(&tree), Head::Detached(_)));
}
