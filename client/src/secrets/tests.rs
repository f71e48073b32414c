//! Scans captured trees: what is looked at, and what is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use handoff_proto::path::AbsolutePath;
use tempfile::TempDir;

use super::*;
use crate::capture::{Options, capture};

/// A valid form of a token that never was one; in two parts so that this file holds none.
fn token() -> String {
    ["ghp_zQWBuTSOoRi4A9spHcVY5ncn", "sDkxkJ0mLq17"].concat()
}

struct Tree(TempDir);

impl Tree {
    fn plain() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn repository() -> Self {
        let tree = Self::plain();
        tree.git(&["init", "--quiet"]);
        tree
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn git(&self, words: &[&str]) {
        git(&self.path(), words);
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=one"]);
    }

    fn capture(&self, include: &[&str]) -> Capture {
        let options = Options {
            include: include.iter().map(|glob| glob.as_bytes().to_vec()).collect(),
            ..Options::new(AbsolutePath::try_from(self.path().as_path()).unwrap())
        };
        capture(&options, &|_| {}).unwrap()
    }

    fn scan(&self, include: &[&str]) -> Scan {
        scan(&self.capture(include), Asking::First, &|_| false).unwrap()
    }
}

fn git(directory: &Path, words: &[&str]) {
    let output = Command::new("git")
        .current_dir(directory)
        .args(["-c", "user.name=a", "-c", "user.email=a@b"])
        .args(["-c", "maintenance.auto=false", "-c", "gc.auto=0"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {words:?}: {output:?}");
}

fn found(scan: &Scan) -> Vec<(String, usize)> {
    scan.findings.iter().map(|found| (found.path.to_string(), found.line)).collect()
}

fn at(path: &str, line: usize) -> (String, usize) {
    (path.to_owned(), line)
}

#[test]
fn what_was_never_committed_is_scanned() {
    let tree = Tree::repository();
    tree.write(".gitignore", "*.env\n");
    for name in ["committed", "modified", "staged", "reverted"] {
        tree.write(name, "harmless\n");
    }
    tree.write("fixture", &token());
    tree.commit();
    let secret = format!("one\ntwo {}\n", token());
    for name in ["modified", "staged", "new/untracked", "included.env", "ignored.env"] {
        tree.write(name, &secret);
    }
    tree.git(&["add", "staged"]);
    assert_eq!(
        found(&tree.scan(&["included.env"])),
        [at("included.env", 2), at("modified", 2), at("new/untracked", 2), at("staged", 2)]
    );
}

#[test]
fn what_is_staged_is_scanned() {
    let tree = Tree::repository();
    tree.write("a", "harmless");
    tree.commit();
    tree.write("a", &token());
    tree.git(&["add", "a"]);
    assert_eq!(found(&tree.scan(&[])), [at("a", 1)]);
}

#[test]
fn committed_content_that_was_only_touched_is_not_told() {
    let tree = Tree::repository();
    tree.write("fixture", &token());
    tree.commit();
    tree.write("fixture", "something else");
    tree.write("fixture", &token());
    assert_eq!(found(&tree.scan(&[])), []);
}

#[test]
fn without_a_commit_everything_is_new() {
    let tree = Tree::repository();
    tree.write("a", &token());
    tree.git(&["add", "a"]);
    assert_eq!(found(&tree.scan(&[])), [at("a", 1)]);
    let plain = Tree::plain();
    plain.write("deep/a", &token());
    assert_eq!(found(&plain.scan(&[])), [at("deep/a", 1)]);
}

#[test]
fn a_nested_repository_has_commits_of_its_own() {
    let tree = Tree::repository();
    tree.write("nested/old", &token());
    git(&tree.path().join("nested"), &["init", "--quiet"]);
    git(&tree.path().join("nested"), &["add", "."]);
    git(&tree.path().join("nested"), &["commit", "--quiet", "--message=one"]);
    tree.write("nested/new", &token());
    assert_eq!(found(&tree.scan(&[])), [at("nested/new", 1)]);
}

#[test]
fn a_file_over_the_limit_is_named_and_one_of_the_limit_is_scanned() {
    let tree = Tree::plain();
    let limit = usize::try_from(SCANNED_BYTES_MAX).unwrap();
    // Across the chunks of a large file, and with bytes that are no text.
    let mut content = vec![0xff; limit];
    content[limit - 41] = b'\n';
    content[limit - 40..].copy_from_slice(token().as_bytes());
    fs::write(tree.path().join("fits"), &content).unwrap();
    content.push(b'\n');
    fs::write(tree.path().join("too-large"), &content).unwrap();
    let scan = tree.scan(&[]);
    assert_eq!(found(&scan), [at("fits", 2)]);
    assert_eq!(scan.too_large.iter().map(ToString::to_string).collect::<Vec<_>>(), ["too-large"]);
}

#[test]
fn what_has_passed_before_is_not_read_again() {
    let tree = Tree::plain();
    tree.write("a", &token());
    let capture = tree.capture(&[]);
    fs::remove_file(tree.path().join("a")).unwrap();
    let scan = scan(&capture, Asking::First, &|_| true).unwrap();
    assert_eq!((scan.files, scan.findings.len()), (0, 0));
}

#[test]
fn many_files_and_odd_names_are_asked_about_as_well() {
    use std::os::unix::ffi::OsStrExt as _;
    let tree = Tree::repository();
    tree.write("*", "harmless");
    tree.write("a", "harmless");
    tree.commit();
    tree.write("*", &token());
    assert_eq!(found(&tree.scan(&[])), [at("*", 1)]);
    (0..600).for_each(|number| tree.write(&format!("many/{number}"), "harmless"));
    tree.write("many/odd", "harmless");
    let odd = tree.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::write(&odd, "harmless").unwrap();
    tree.commit();
    fs::write(&odd, token()).unwrap();
    tree.write("many/7", &token());
    assert_eq!(found(&tree.scan(&[])), [at("caf\\xe9", 1), at("many/7", 1)]);
}

#[test]
fn a_file_that_changed_since_is_an_error_and_never_a_pass() {
    let tree = Tree::plain();
    tree.write("a", "harmless");
    let capture = tree.capture(&[]);
    tree.write("a", &token());
    assert!(matches!(scan(&capture, Asking::First, &|_| false), Err(ScanError::Changed(_))));
}

#[test]
fn an_error_names_places_and_no_secret() {
    let tree = Tree::plain();
    (10..35).for_each(|number| tree.write(&format!("f{number}"), &token()));
    let error = SecretsFound(tree.scan(&[]).findings).to_string();
    assert!(error.starts_with("25 lines look like secrets"), "{error}");
    assert!(error.contains("f10:1: github-token; f11:1") && error.ends_with("and 5 more"));
    assert!(!error.contains("zQWB"), "{error}");
}
