//! Repositories in the tree: nested ones, submodules, git directories.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;

use handoff_proto::tree::{
    GitDirectories, GitLocation, LeftOutReason, WalkKind, WalkOptions, walk, walk_git_directory,
};

use super::{carried, globs, left_out, rules, walk_with, write};
use crate::support::git::Git;

#[test]
fn a_nested_repository_has_its_own_rules() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let outer = Git::init(root);
    let inner = Git::init(&root.join("inner"));
    Git::init(&root.join("ignored/repository"));
    write(root, &["a.o", "b.c", "inner/a.o", "inner/b.c", "inner/secret", "inner/x.tmp"]);
    write(root, &["ignored/repository/file"]);
    rules(root, ".gitignore", "*.o\nignored/\n");
    rules(root, ".handoffignore", "*.tmp\n");
    fs::create_dir_all(root.join("inner/.git/info")).unwrap();
    rules(root, "inner/.git/info/exclude", "b.c\n");
    inner.run(&["add", "-f", "b.c"]);
    outer.run(&["add", "b.c"]);

    let walk = walk_with(root, &WalkOptions::default());
    assert_eq!(
        carried(&walk),
        [".gitignore", ".handoffignore", "b.c", "inner/", "inner/a.o", "inner/b.c", "inner/secret"]
    );
    let git_dirs: Vec<_> =
        walk.repositories.iter().map(|r| r.git_dir.clone().unwrap().to_string()).collect();
    assert_eq!(git_dirs, [".git", "inner/.git"]);

    let options = WalkOptions { include: globs(&["ignored"]), ..WalkOptions::default() };
    let walk = walk_with(root, &options);
    assert!(carried(&walk).contains(&"ignored/repository/file".to_owned()));
    assert!(
        walk.entries.iter().any(|entry| entry.path.as_bytes() == b"ignored/repository/.git/HEAD")
    );
    assert_eq!(walk.repositories.len(), 3);
}

#[test]
fn a_submodule_is_a_repository_whose_directory_is_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let library = Git::init(&directory.path().join("library"));
    library.run(&["commit", "-q", "--allow-empty", "-m", "x"]);
    let root = directory.path().join("root");
    let git = Git::init(&root);
    git.run(&["submodule", "-q", "add", "../library", "deps/library"]);
    write(&root, &["deps/library/a.o", "deps/library/b"]);
    fs::create_dir_all(root.join(".git/modules/deps/library/info")).unwrap();
    rules(&root, ".git/modules/deps/library/info/exclude", "*.o\n");
    // Being tracked counts more than being ignored, for submodules as for files.
    rules(&root, ".gitignore", "deps\n");

    let walk = walk_with(&root, &WalkOptions::default());
    assert_eq!(
        carried(&walk),
        [".gitignore", ".gitmodules", "deps/", "deps/library/", "deps/library/b"]
    );
    let submodule = &walk.repositories[1];
    assert_eq!(submodule.git, GitLocation::File);
    assert_eq!(submodule.git_dir.as_ref().unwrap().to_string(), ".git/modules/deps/library");
    let has = |path: &str| walk.entries.iter().any(|entry| entry.path.to_string() == path);
    assert!(has("deps/library/.git") && has(".git/modules/deps/library/HEAD"));
}

#[test]
fn what_a_process_keeps_in_a_git_directory_stays_there() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    Git::init(root);
    let transient = [
        "config.lock",
        "fsmonitor--daemon/cookies/x",
        "gc.pid",
        "index.lock",
        "objects/pack/tmp_pack_abc",
        "objects/tmp_obj_abc",
        "refs/heads/a.lock",
    ];
    write(&root.join(".git"), &transient);
    write(root, &["index.lock", "gc.pid", ".git/modules/x.lock/HEAD", ".git/ignored.o"]);
    rules(root, ".gitignore", "*.o\n.git\n");
    let _fsmonitor = UnixListener::bind(root.join(".git/fsmonitor--daemon.ipc")).unwrap();
    let _other = UnixListener::bind(root.join(".git/other.ipc")).unwrap();

    let walk = walk_with(root, &WalkOptions::default());
    let expected = |path: &str, reason| (path.to_owned(), reason);
    let transient = LeftOutReason::GitTransient;
    assert_eq!(
        left_out(&walk),
        [
            expected(".git/config.lock", transient),
            expected(".git/fsmonitor--daemon", transient),
            expected(".git/fsmonitor--daemon.ipc", transient),
            expected(".git/gc.pid", transient),
            expected(".git/index.lock", transient),
            expected(".git/objects/pack/tmp_pack_abc", transient),
            expected(".git/objects/tmp_obj_abc", transient),
            expected(".git/other.ipc", LeftOutReason::GitSocket),
            expected(".git/refs/heads/a.lock", transient),
        ]
    );
    let has = |path: &str| walk.entries.iter().any(|entry| entry.path.to_string() == path);
    assert!(has("index.lock") && has("gc.pid"));
    assert!(has(".git/HEAD") && has(".git/ignored.o") && has(".git/modules/x.lock/HEAD"));
    assert!(has(".git/refs/tags"), "empty directories in git directories count");
}

#[test]
fn a_result_has_no_git_directory_in_any_spelling() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    Git::init(root);
    Git::init(&root.join("new"));
    write(root, &["file", "new/file", "sub/.GIT/hooks/x", "sub/git~1", "sub/ok"]);
    let options = WalkOptions { git: GitDirectories::Skip, ..WalkOptions::default() };
    let walk = walk_with(root, &options);
    assert_eq!(carried(&walk), ["file", "new/", "new/file", "sub/", "sub/ok"]);
    assert!(!walk.entries.iter().any(|entry| entry.path.has_git_component()));
    let reason = LeftOutReason::GitSpelling;
    assert_eq!(left_out(&walk), [("sub/.GIT".into(), reason), ("sub/git~1".into(), reason)]);
    assert_eq!(walk.repositories.len(), 2);
}

#[test]
fn the_caller_decides_what_is_a_repository() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &[".git/broken", "a.o", "sub/.git"]);
    rules(root, ".gitignore", "*.o\n");
    let mut asked = Vec::new();
    let walk = walk(root, &WalkOptions::default(), &mut |repository| {
        asked.push(repository.clone());
        Ok(None)
    })
    .unwrap();
    // `sub/.git` is a file but says nothing about a git directory.
    assert_eq!(asked.len(), 1);
    assert!(walk.repositories.is_empty());
    assert_eq!(carried(&walk), [".gitignore", "a.o", "sub/"]);
    assert!(walk.entries.iter().any(|entry| entry.path.as_bytes() == b".git/broken"));
}

#[test]
fn a_failing_caller_is_named_with_the_repository() {
    let directory = tempfile::tempdir().unwrap();
    Git::init(&directory.path().join("sub"));
    let failed = walk(directory.path(), &WalkOptions::default(), &mut |_| Err("git died".into()));
    assert_eq!(failed.unwrap_err().to_string(), "list the tracked files of `sub`");
}

#[test]
fn a_git_directory_elsewhere_is_listed_as_if_it_were_in_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let git = Git::init(directory.path());
    git.run(&["commit", "-q", "--allow-empty", "-m", "x"]);
    write(directory.path(), &[".git/index.lock"]);
    let fd = File::open(directory.path().join(".git")).unwrap();
    let walk = walk_git_directory(fd.as_fd(), &"sub/.git".parse().unwrap()).unwrap();
    assert_eq!(walk.entries[0].path.to_string(), "sub/.git");
    assert_eq!(walk.entries[0].kind, WalkKind::Directory);
    assert!(walk.entries.iter().any(|entry| entry.path.as_bytes() == b"sub/.git/refs/heads/main"));
    assert!(walk.entries.is_sorted_by(|a, b| a.path < b.path));
    assert_eq!(left_out(&walk), [("sub/.git/index.lock".into(), LeftOutReason::GitTransient)]);
}
