//! Which files the rules carry and which they leave out.

use std::fs;

use handoff_proto::tree::{Case, LeftOutReason, Origin, Tracked, WalkOptions, walk};

use super::{carried, globs, left_out, rules, walk_with, write};
use crate::support::git::Git;

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
