//! What a walk carries, leaves out and refuses, case by case.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use handoff_proto::path::TreePath;
use handoff_proto::tree::{
    Case, GitDirectories, GitLocation, LeftOutReason, Origin, RefusalReason, Tracked, Walk,
    WalkError, WalkKind, WalkOptions, walk, walk_git_directory,
};

use crate::support::git::Git;

fn write(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "content").unwrap();
    }
}

fn rules(root: &Path, file: &str, lines: &str) {
    fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
    fs::write(root.join(file), lines).unwrap();
}

fn walk_with(root: &Path, options: &WalkOptions) -> Walk {
    let git = Git::at(root);
    let alone = walk(root, options, &mut |repository| git.tracked_in(repository)).unwrap();
    let options = WalkOptions { threads: 4.try_into().unwrap(), ..options.clone() };
    let shared = walk(root, &options, &mut |repository| git.tracked_in(repository)).unwrap();
    assert_eq!(alone, shared);
    alone
}

fn globs(globs: &[&str]) -> Vec<Vec<u8>> {
    globs.iter().map(|glob| glob.as_bytes().to_vec()).collect()
}

/// The carried paths that are not in a git directory; directories end in a slash.
fn carried(walk: &Walk) -> Vec<String> {
    let outside_git = walk.entries.iter().filter(|entry| entry.origin != Origin::Git);
    outside_git
        .map(|entry| match entry.kind {
            WalkKind::Directory => format!("{}/", entry.path),
            WalkKind::File { .. } | WalkKind::Symlink { .. } => entry.path.to_string(),
        })
        .collect()
}

fn left_out(walk: &Walk) -> Vec<(String, LeftOutReason)> {
    walk.left_out.iter().map(|left| (left.path.to_string(), left.reason)).collect()
}

#[test]
fn a_plain_directory_is_carried_whole_but_for_its_own_rules() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["a", "build/out", "cache/big", "cache/sub/keep", "sub/cache/x", "sub/b.tmp"]);
    rules(root, ".gitignore", "build/\na\n");
    rules(root, ".handoffignore", "/cache/*\n!/cache/sub\n");
    rules(root, "sub/.handoffignore", "*.tmp\n");
    fs::create_dir(root.join("empty")).unwrap();
    let walk = walk_with(root, &WalkOptions::default());
    assert_eq!(
        carried(&walk),
        [
            ".gitignore",
            ".handoffignore",
            "a",
            "build/",
            "build/out",
            "cache/",
            "cache/sub/",
            "cache/sub/keep",
            "empty/",
            "sub/",
            "sub/.handoffignore",
            "sub/cache/",
            "sub/cache/x",
        ]
    );
    let reason = LeftOutReason::HandoffIgnored;
    assert_eq!(left_out(&walk), [("cache/big".into(), reason), ("sub/b.tmp".into(), reason)]);
    assert!(walk.repositories.is_empty());
}

#[test]
fn tracked_files_come_even_from_ignored_directories() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let git = Git::init(root);
    write(root, &["build/a/tracked", "build/a/other", "build/b/x", "src/main", "notes.tmp"]);
    rules(root, ".gitignore", "build/\n");
    rules(root, ".handoffignore", "*.tmp\nsrc/\n");
    git.run(&["add", "-f", "build/a/tracked", "src/main"]);
    let walk = walk_with(root, &WalkOptions::default());
    let expected = [
        ".gitignore",
        ".handoffignore",
        "build/",
        "build/a/",
        "build/a/tracked",
        "src/",
        "src/main",
    ];
    assert_eq!(carried(&walk), expected);
    assert_eq!(
        left_out(&walk),
        [
            ("build".into(), LeftOutReason::Ignored),
            ("notes.tmp".into(), LeftOutReason::HandoffIgnored),
            ("src".into(), LeftOutReason::HandoffIgnored),
        ]
    );
    let origin = |path: &str| {
        walk.entries.iter().find(|entry| entry.path.to_string() == path).unwrap().origin
    };
    assert_eq!(origin("build"), Origin::Tracked);
    assert_eq!(origin("src/main"), Origin::Tracked);
    assert_eq!(origin(".gitignore"), Origin::Untracked);
    assert_eq!(origin(".git"), Origin::Git);
}

#[test]
fn include_brings_ignored_files_in_and_exclude_wins() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let git = Git::init(root);
    write(
        root,
        &[
            ".env.test",
            "sub/.env.test",
            "target/debug/app",
            "target/debug/x.o",
            "target/release/y",
            "film.mp4",
            "tracked.mp4",
            "node_modules/p/.env.test",
            "node_modules/p/index.js",
        ],
    );
    rules(root, ".gitignore", ".env*\ntarget/\nnode_modules\n");
    git.run(&["add", "tracked.mp4", ".gitignore"]);
    let options = WalkOptions {
        include: globs(&[".env.test", "/target/debug/"]),
        exclude: globs(&["*.mp4", "*.o"]),
        ..WalkOptions::default()
    };
    let walk = walk_with(root, &options);
    assert_eq!(
        carried(&walk),
        [
            ".env.test",
            ".gitignore",
            "node_modules/",
            "node_modules/p/",
            "node_modules/p/.env.test",
            "sub/",
            "sub/.env.test",
            "target/",
            "target/debug/",
            "target/debug/app",
        ]
    );
    let excluded: Vec<String> = walk
        .left_out
        .iter()
        .filter(|left| left.reason == LeftOutReason::Excluded)
        .map(|left| left.path.to_string())
        .collect();
    assert_eq!(excluded, ["film.mp4", "target/debug/x.o", "tracked.mp4"]);
    let included = walk.entries.iter().filter(|entry| entry.origin == Origin::Included).count();
    // Three files, and the directories that are there for their sake only.
    assert_eq!(included, 3 + 4 + 1);
}

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
fn links_are_carried_and_never_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    write(&root, &["sub/file"]);
    write(directory.path(), &["outside/file"]);
    rules(directory.path(), "outside/rules", "sub/\n");
    for (target, name) in [
        (&b"../outside"[..], "leaving"),
        (b"sub", "staying"),
        (b"/nowhere/\xff\n", "dangling"),
        (b"../outside/rules", ".handoffignore"),
        (b"loop", "loop"),
    ] {
        symlink(std::ffi::OsStr::from_bytes(target), root.join(name)).unwrap();
    }
    let walk = walk_with(&root, &WalkOptions::default());
    assert_eq!(
        carried(&walk),
        [".handoffignore", "dangling", "leaving", "loop", "staying", "sub/", "sub/file"]
    );
    let target = WalkKind::Symlink { target: b"/nowhere/\xff\n".to_vec() };
    assert_eq!(walk.entries[1].kind, target);
    assert_eq!(walk.entries[1].mode, 0o777);
}

fn refusals(root: &Path, options: &WalkOptions) -> (Vec<(String, RefusalReason)>, usize) {
    match walk(root, options, &mut |_| Ok(Some(Tracked::default()))) {
        Err(WalkError::Refused { refused, more }) => {
            (refused.into_iter().map(|refusal| (refusal.path, refusal.reason)).collect(), more)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_cannot_be_carried_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["sub/file"]);
    let fifo = |name: &str| {
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, root.join(name), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
    };
    fifo("sub/pipe\n");
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let (refused, more) = refusals(root, &WalkOptions::default());
    let expected = [
        ("socket".to_owned(), RefusalReason::Socket),
        ("sub/pipe\\n".to_owned(), RefusalReason::Fifo),
    ];
    assert_eq!((&refused[..], more), (&expected[..], 0));

    for number in 0..25 {
        fifo(&format!("sub/{number}"));
    }
    let (refused, more) = refusals(root, &WalkOptions::default());
    assert_eq!((refused.len(), more), (20, 7));

    // What is left out need not be carried.
    let options = WalkOptions { exclude: globs(&["socket", "sub"]), ..WalkOptions::default() };
    assert!(walk(root, &options, &mut |_| Ok(None)).is_ok());
}

#[test]
fn unreadable_files_and_directories_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["closed/file", "file", "fine"]);
    let set = |name: &str, mode| {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("closed", 0o000);
    set("file", 0o200);
    let expected = [
        ("closed".to_owned(), RefusalReason::Unreadable),
        ("file".to_owned(), RefusalReason::Unreadable),
    ];
    // Root may read everything; only this thread becomes nobody.
    let mut refused = std::thread::scope(|scope| {
        let walk = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
                let nobody = rustix::fs::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            refusals(root, &WalkOptions::default()).0
        });
        walk.join().unwrap()
    });
    refused.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(refused, expected);
    set("closed", 0o700);
}

#[test]
fn attributes_that_are_lost_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["a", "b", "plain"]);
    fs::hard_link(root.join("a"), root.join("a2")).unwrap();
    fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o4755)).unwrap();
    let walk = walk_with(root, &WalkOptions::default());
    let names = |paths: &[TreePath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&walk.dropped.hard_links.first), ["a", "a2"]);
    assert_eq!(names(&walk.dropped.special_bits.first), ["b"]);
    assert_eq!(walk.dropped.hard_links.count, 2);
    assert_eq!(walk.entries[2].mode, 0o755);
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
fn letters_of_rules_match_in_either_case_where_git_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    Git::init(root);
    write(root, &["BUILD/x", "a.O", "b"]);
    rules(root, ".gitignore", "build/\n*.o\n");
    let walk = walk(root, &WalkOptions::default(), &mut |_| {
        Ok(Some(Tracked { case: Case::Insensitive, ..Tracked::default() }))
    })
    .unwrap();
    assert_eq!(carried(&walk), [".gitignore", "b"]);
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

#[test]
fn a_tree_deeper_than_descriptors_reach_is_walked_and_one_too_deep_refused() {
    let directory = tempfile::tempdir().unwrap();
    let make = |depth: usize| {
        let mut at = rustix::fs::open(
            directory.path(),
            rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        for _ in 0..depth {
            // The deeper part of the tree continues the one before.
            let _existing = rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU);
            let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
            at = rustix::fs::openat(&at, "d", flags, rustix::fs::Mode::empty()).unwrap();
        }
    };
    make(2048);
    let walk = walk_with(directory.path(), &WalkOptions::default());
    assert_eq!(walk.entries.len(), 2048);
    make(2049);
    let (refused, _) = refusals(directory.path(), &WalkOptions::default());
    assert!(matches!(refused[..], [(_, RefusalReason::Path(_))]));
}
