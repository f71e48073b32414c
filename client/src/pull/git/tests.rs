//! git's own answers, parsed; locks and transactions.

use std::collections::BTreeSet;

use handoff_proto::manifest::{Head, IndexEntry, IndexFlags, Oid, RefName};
use handoff_proto::path::TreePath;

use super::*;

fn git_in(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(["-c", "init.defaultBranch=main", "-c", "maintenance.auto=false", "-c", "gc.auto=0"])
        .args(words)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", directory)
        .env_remove("XDG_CONFIG_HOME")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {words:?}: {}", message(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with one commit of two files.
fn repository() -> (tempfile::TempDir, Git) {
    let home = tempfile::tempdir().unwrap();
    git_in(home.path(), &["init", "-q"]);
    std::fs::write(home.path().join("a"), "a\n").unwrap();
    std::fs::write(home.path().join("b"), "b\n").unwrap();
    git_in(home.path(), &["add", "a", "b"]);
    git_in(home.path(), &["commit", "-q", "-m", "first"]);
    let git = Git::open(home.path()).unwrap().unwrap();
    (home, git)
}

fn name(text: &str) -> RefName {
    RefName::parse(text.as_bytes()).unwrap()
}

fn update(at: &str, before: Option<Oid>, after: Option<Oid>) -> RefUpdate {
    RefUpdate { target: RefTarget::Named(name(at)), before, after }
}

#[test]
fn only_the_root_of_a_working_tree_is_a_repository() {
    let (home, git) = repository();
    std::fs::create_dir(home.path().join("sub")).unwrap();
    assert!(Git::open(&home.path().join("sub")).unwrap().is_none());
    // A file that says nothing is no repository either, and the one above is not meant.
    std::fs::write(home.path().join("sub/.git"), "").unwrap();
    assert!(Git::open(&home.path().join("sub")).is_err());
    assert_eq!(git.format(), ObjectFormat::Sha1);
    assert!(
        matches!(git.head().unwrap(), Head::Branch(branch, Some(_)) if branch == name("refs/heads/main"))
    );
}

#[test]
fn references_change_together_or_not_at_all() {
    let (_home, git) = repository();
    let tip = git.head().unwrap().oid().unwrap();
    let other = Oid::parse(&[b'1'; 40]).unwrap();
    let value = |at: &str| git.ref_value(&RefTarget::Named(name(at))).unwrap();

    // One of them does not hold what it should.
    let wrong = [
        update("refs/heads/new", None, Some(tip)),
        update("refs/heads/main", Some(other), Some(tip)),
    ];
    let error = git.prepare_refs(&wrong, "test").unwrap_err();
    assert!(error.is_conflict() && error.to_string().contains("refs/heads/main"), "{error}");
    assert_eq!(value("refs/heads/new"), None);

    // Prepared, but given up.
    drop(git.prepare_refs(&wrong[..1], "test").unwrap());
    assert_eq!(value("refs/heads/new"), None);

    git.prepare_refs(&wrong[..1], "test").unwrap().commit().unwrap();
    assert_eq!(value("refs/heads/new"), Some(tip));
    let error = git.prepare_refs(&wrong[..1], "test").unwrap_err();
    assert!(error.is_conflict(), "{error}");
    let deleted = [update("refs/heads/new", Some(tip), None)];
    git.prepare_refs(&deleted, "test").unwrap().commit().unwrap();
    assert_eq!(value("refs/heads/new"), None);

    // Nothing to do is fine.
    git.prepare_refs(&[], "test").unwrap().commit().unwrap();
}

#[test]
fn head_moves_between_branches_and_commits() {
    let (_home, git) = repository();
    let tip = git.head().unwrap().oid().unwrap();
    git.set_head(&Head::Detached(tip), "test").unwrap();
    assert_eq!(git.head().unwrap(), Head::Detached(tip));
    let unborn = Head::Branch(name("refs/heads/new/born"), None);
    git.set_head(&unborn, "test").unwrap();
    assert_eq!(git.head().unwrap(), unborn);
}

#[test]
fn an_index_is_built_with_stat_data_for_what_stays() {
    let (home, git) = repository();
    let staged = git.staged().unwrap();
    let mut wanted = staged.clone();
    let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
    wanted[1].path = path("dir/c");
    wanted.push(IndexEntry { path: path("new\n\"name"), mode: 0o100_755, ..staged[0].clone() });
    let (old, new) = (home.path().join("old"), home.path().join("new"));
    git.build_index(Some(&wanted), &BTreeSet::new(), &old, &new).unwrap().unwrap();
    assert_eq!(git.staged().unwrap(), staged);
    git.lock_index(Some(&old), &new).unwrap().swap().unwrap();
    assert_eq!(git.staged().unwrap(), wanted);
    let debug = git_in(home.path(), &["ls-files", "--debug", "a"]);
    assert!(!debug.contains("mtime: 0:0"), "{debug}");
    let debug = git_in(home.path(), &["ls-files", "--debug", "dir/c"]);
    assert!(debug.contains("mtime: 0:0"), "{debug}");
}

#[test]
fn entries_that_replace_each_other_are_staged_in_any_order() {
    let (home, git) = repository();
    let staged = git.staged().unwrap();
    let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
    let entry = |at: &str, stage: u8| IndexEntry { path: path(at), stage, ..staged[0].clone() };
    let lists = [
        vec![entry("a/b", 0), entry("b/a", 0)],
        vec![entry("a", 1), entry("a", 2), entry("a", 3), entry("b", 0)],
        vec![entry("a", 0)],
        vec![],
        vec![IndexEntry { flags: IndexFlags::ASSUME_UNCHANGED, ..entry("a", 0) }],
        vec![IndexEntry { flags: IndexFlags::SKIP_WORKTREE, ..entry("a", 0) }],
        vec![entry("a", 0), entry("b", 2), entry("b", 3)],
    ];
    for (number, wanted) in lists.iter().enumerate() {
        let [old, new] = ["old", "new"].map(|side| home.path().join(format!("{side}-{number}")));
        git.build_index(Some(wanted), &BTreeSet::new(), &old, &new).unwrap();
        git.lock_index(Some(&old), &new).unwrap().swap().unwrap();
        assert_eq!(git.staged().unwrap(), *wanted, "{number}");
    }
}

#[test]
fn a_lock_is_respected_and_only_our_own_is_broken() {
    let (home, git) = repository();
    let (old, new) = (home.path().join("old"), home.path().join("new"));
    assert_eq!(git.build_index(None, &BTreeSet::new(), &old, &new).unwrap(), None);
    assert!(!old.exists() && !new.exists());
    let touched = BTreeSet::from([TreePath::parse(b"a").unwrap()]);
    assert!(git.build_index(None, &touched, &old, &new).unwrap().is_some());
    let lock = home.path().join(".git/index.lock");

    let held = git.lock_index(Some(&old), &new).unwrap();
    assert!(matches!(git.lock_index(Some(&old), &new), Err(GitError::IndexLocked(_))));
    drop(held);
    assert!(!lock.exists());

    std::fs::write(&lock, "somebody else's").unwrap();
    git.break_stale_index_lock(&[old.clone(), new.clone()]).unwrap();
    assert!(lock.exists());
    let content = std::fs::read(&new).unwrap();
    std::fs::write(&lock, &content[..content.len() / 2]).unwrap();
    git.break_stale_index_lock(&[old.clone(), new.clone()]).unwrap();
    assert!(!lock.exists());

    std::fs::write(home.path().join("a"), "changed\n").unwrap();
    git_in(home.path(), &["add", "a"]);
    assert!(matches!(git.lock_index(Some(&old), &new), Err(GitError::IndexChanged(_))));
    assert!(!lock.exists());
}

#[test]
fn git_looks_where_it_is_told_whatever_the_environment_says() {
    let (_home, git) = repository();
    let command = git.command(&["status"]);
    let set: Vec<_> = command.get_envs().filter(|(_, value)| value.is_some()).collect();
    assert!(set.iter().any(|(name, _)| *name == "GIT_DIR"));
    assert!(
        set.iter()
            .any(|(name, value)| *name == "GIT_TERMINAL_PROMPT" && *value == Some("0".as_ref()))
    );
    let words: Vec<_> = command.get_args().collect();
    assert!(words.contains(&OsStr::new("core.hooksPath=/dev/null")));
    assert!(words.contains(&OsStr::new("protocol.allow=never")));
}
