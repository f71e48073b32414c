//! What a walk carries is what git itself says is tracked or neither tracked nor ignored.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use handoff_proto::tree::{Origin, WalkKind, WalkOptions, walk};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support;
use crate::support::git::Git;

/// A tree and the rules in it.
#[derive(Clone, Debug)]
struct Sketch {
    files: Vec<(Vec<String>, Content)>,
    ignore_files: Vec<(Index, Vec<String>)>,
    info_exclude: Vec<String>,
    excludes_file: Vec<String>,
    tracked: Vec<Index>,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    File,
    Symlink,
    EmptyDirectory,
}

fn name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "a",
        "b",
        "ab",
        "ba",
        "abc",
        "a.o",
        "b.o",
        "build",
        "Build",
        "foo",
        "foo~",
        "{a,b}",
        "[a]",
        "a b",
        "b ",
        "#x",
        "!x",
        "-",
        "é",
        "*",
        "back\\slash",
        "a\tb",
        ".hidden",
        "x1",
    ];
    select(NAMES).prop_map(str::to_owned)
}

/// Lines as people write them, and lines as nobody should.
fn line() -> impl Strategy<Value = String> {
    const USUAL: &[&str] = &[
        "*.o",
        "!a.o",
        "build/",
        "/build",
        "build",
        "foo*",
        "**/b",
        "a/**",
        "a/**/b",
        "a/b",
        "/a/",
        "!a/",
        "a/*",
        "!a/b",
        "*",
        "!*/",
        "!*.o",
        "ab?",
        "[ab]",
        "[!a]b",
        "[[:alpha:]]b",
        "{a,b}",
        "*.{o,c}",
        "\\#x",
        "\\!x",
        "# x",
        "",
        "b\\ ",
        "b ",
        "a b",
        "a**",
        "foo**/b",
        "**",
        "/**",
        "/*",
        "a/",
        "**/",
        "/",
        "a//b",
        "\u{feff}a",
        "é",
        "?",
        "[a-",
        "[]a]b",
        "back\\\\slash",
        ".*",
        "x[0-9]",
        "a\tb",
        "a\t",
        "**/a/**",
        "a/**/",
        "!/a",
        "*b*",
        "*/b",
        "/*/a",
    ];
    let soup = vec(select(&b"ab.o*?[]!^-\\/ :{},#\t"[..]), 0..9)
        .prop_map(|bytes| String::from_utf8(bytes).unwrap());
    prop_oneof![4 => select(USUAL).prop_map(str::to_owned), 1 => soup]
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let content = prop_oneof![6 => Just(Content::File), 1 => Just(Content::Symlink), 1 => Just(Content::EmptyDirectory)];
    (
        vec((vec(name(), 1..5), content), 1..25),
        vec((any::<Index>(), vec(line(), 1..6)), 0..4),
        vec(line(), 0..3),
        vec(line(), 0..3),
        vec(any::<Index>(), 0..6),
    )
        .prop_map(|(files, ignore_files, info_exclude, excludes_file, tracked)| Sketch {
            files,
            ignore_files,
            info_exclude,
            excludes_file,
            tracked,
        })
}

/// Draws a sketch; what does not fit (a file where a directory is) is left away.
fn draw(sketch: &Sketch, root: &Path) -> Git {
    let git = Git::init(root);
    let mut placed = Vec::new();
    for (components, content) in &sketch.files {
        let path = components.join("/");
        let at = root.join(&path);
        let is_link = |parent: &Path| parent.starts_with(root) && parent.is_symlink();
        if at.ancestors().any(is_link) || fs::create_dir_all(at.parent().unwrap()).is_err() {
            continue;
        }
        let made = match content {
            Content::File => fs::write(&at, "content"),
            Content::Symlink => symlink("a", &at),
            Content::EmptyDirectory => fs::create_dir(&at),
        };
        if made.is_ok() && !matches!(content, Content::EmptyDirectory) {
            placed.push(path);
        }
    }
    for (index, lines) in &sketch.ignore_files {
        let (components, _) = index.get(&sketch.files);
        let directory = root.join(components[..components.len() - 1].join("/"));
        if directory.is_dir() && !directory.ancestors().any(|parent| parent.is_symlink()) {
            fs::write(directory.join(".gitignore"), lines.join("\n")).unwrap();
        }
    }
    fs::create_dir_all(root.join(".git/info")).unwrap();
    fs::write(root.join(".git/info/exclude"), sketch.info_exclude.join("\n")).unwrap();
    fs::write(root.join(".git/user-excludes"), sketch.excludes_file.join("\n")).unwrap();
    git.run(&["config", "core.excludesFile", root.join(".git/user-excludes").to_str().unwrap()]);
    if !placed.is_empty() {
        for index in &sketch.tracked {
            git.run(&["--literal-pathspecs", "add", "-f", "--", index.get(&placed).as_str()]);
        }
    }
    git
}

fn carried_by_git(git: &Git, root: &Path) -> BTreeSet<Vec<u8>> {
    git.paths(&["ls-files", "-z", "-co", "--exclude-standard"])
        .into_iter()
        .filter(|path| root.join(support::os(path)).symlink_metadata().is_ok())
        .collect()
}

fn options(excludes_file: &[String]) -> WalkOptions<'static> {
    WalkOptions { excludes_file: excludes_file.join("\n").into(), ..WalkOptions::default() }
}

fn carried_by_us(git: &Git, root: &Path, options: &WalkOptions<'_>) -> BTreeSet<Vec<u8>> {
    let walk = walk(root, options, &mut |repository| git.tracked_in(repository)).unwrap();
    walk.entries
        .into_iter()
        .filter(|entry| entry.origin != Origin::Git && entry.kind != WalkKind::Directory)
        .map(|entry| entry.path.as_bytes().to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: support::cases(100), ..ProptestConfig::default() })]

    #[test]
    fn the_carried_files_are_those_that_git_lists(sketch in sketch()) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("tree");
        let git = draw(&sketch, &root);
        let theirs = carried_by_git(&git, &root);
        let ours = carried_by_us(&git, &root, &options(&sketch.excludes_file));
        let show = |set: &BTreeSet<Vec<u8>>, other: &BTreeSet<Vec<u8>>| -> Vec<String> {
            set.difference(other).map(|path| handoff_proto::path::escaped(path)).collect()
        };
        prop_assert!(
            ours == theirs,
            "only ours: {:?}\nonly git's: {:?}", show(&ours, &theirs), show(&theirs, &ours)
        );
    }
}
