//! Which tracked files are not as the last commit has them.
//!
//! Asks git's plumbing, which neither refreshes the index nor runs filters.

use std::collections::HashSet;
use std::path::PathBuf;

use handoff_proto::manifest::{Head, Repository, SnapshotManifest};
use handoff_proto::path::TreePath;

use crate::capture::GitError;
use crate::capture::git::Git;

/// What is staged and not committed, by name.
const STAGED: [&str; 7] = [
    "diff-index",
    "--cached",
    "--name-only",
    "--no-renames",
    "--ignore-submodules=all",
    "-z",
    "HEAD",
];

/// What is not as the index has it, or only looks so by its times.
const UNSTAGED: [&str; 5] =
    ["diff-files", "--name-only", "--no-renames", "--ignore-submodules=all", "-z"];

/// What git was told not to look at; it takes such files for committed whatever they hold.
const UNWATCHED: [&str; 3] = ["ls-files", "-v", "-z"];

/// Compares contents.
const COMPARE: [&str; 10] = [
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--no-relative",
    "--ignore-submodules=all",
    "--name-only",
    "-z",
    "HEAD",
    "--",
];

/// Up to here git is told which files are meant, and looks at no others.
const NAMED_MAX: usize = 500;

/// Those of these tracked files that are not committed as they are, and perhaps others; also some
/// that are, where only their times changed.
pub(super) fn changed(
    manifest: &SnapshotManifest,
    tracked: &[&TreePath],
) -> Result<HashSet<TreePath>, GitError> {
    let mut changed = HashSet::new();
    for repository in &manifest.repositories {
        let within = |path: &&&TreePath| {
            repository.path.as_ref().is_none_or(|above| path.starts_with(above))
        };
        let meant: Vec<&TreePath> = tracked.iter().filter(within).copied().collect();
        if meant.is_empty() {
            continue;
        }
        let git = git_in(manifest, repository);
        if !has_commit(repository) {
            add(&git.ask(&["ls-files", "-z"])?, repository, &mut changed);
            continue;
        }
        let names = named(&meant, repository);
        for question in [&STAGED[..], &UNSTAGED[..]] {
            let names = names.iter().flatten().map(String::as_str);
            let words: Vec<&str> =
                ["--literal-pathspecs"].into_iter().chain(question.iter().copied()).collect();
            let words: Vec<&str> = words.into_iter().chain(["--"]).chain(names).collect();
            add(&git.ask(&words)?, repository, &mut changed);
        }
        let names = names.iter().flatten().map(String::as_str);
        let words: Vec<&str> = ["--literal-pathspecs"].into_iter().chain(UNWATCHED).collect();
        let words: Vec<&str> = words.into_iter().chain(["--"]).chain(names).collect();
        add(&unwatched(&git.ask(&words)?), repository, &mut changed);
    }
    Ok(changed)
}

/// The paths in git's listing that are marked as not to be looked at: `S` or a lower-case letter.
fn unwatched(listing: &[u8]) -> Vec<u8> {
    listing
        .split_inclusive(|&byte| byte == 0)
        .filter(|record| record.first().is_some_and(|tag| *tag == b'S' || tag.is_ascii_lowercase()))
        .filter_map(|record| record.get(2..))
        .collect::<Vec<_>>()
        .concat()
}

/// The files as git shall be asked about them; none where that would be too many or a name is not
/// UTF-8: then it is asked about all.
fn named(paths: &[&TreePath], repository: &Repository) -> Option<Vec<String>> {
    let above = repository.path.as_ref();
    let within = |path: &&TreePath| match above {
        Some(above) => path.strip_prefix(above),
        None => Some((*path).clone()),
    };
    let text = |path: TreePath| String::from_utf8(path.as_bytes().to_vec()).ok();
    (paths.len() <= NAMED_MAX)
        .then(|| paths.iter().map(|path| within(path).and_then(text)).collect::<Option<Vec<_>>>())
        .flatten()
}

/// Those of these files whose content is committed as it is.
pub(super) fn committed_after_all(
    manifest: &SnapshotManifest,
    mut suspects: HashSet<TreePath>,
) -> Result<HashSet<TreePath>, GitError> {
    if suspects.is_empty() {
        return Ok(suspects);
    }
    for repository in &manifest.repositories {
        let mut differing = HashSet::new();
        let git = git_in(manifest, repository);
        if has_commit(repository) {
            add(&git.ask(&COMPARE)?, repository, &mut differing);
            add(&unwatched(&git.ask(&UNWATCHED)?), repository, &mut differing);
        } else {
            add(&git.ask(&["ls-files", "-z"])?, repository, &mut differing);
        }
        suspects.retain(|path| !differing.contains(path));
    }
    Ok(suspects)
}

fn git_in(manifest: &SnapshotManifest, repository: &Repository) -> Git {
    let root = manifest.root.as_os_path();
    let worktree: PathBuf = match &repository.path {
        Some(path) => root.join(path.as_os_path()),
        None => root.to_owned(),
    };
    Git::new(&worktree)
}

fn has_commit(repository: &Repository) -> bool {
    !matches!(repository.state.head, Head::Branch(_, None))
}

fn add(listing: &[u8], repository: &Repository, to: &mut HashSet<TreePath>) {
    let names = listing.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    // What makes no path is not carried either.
    to.extend(names.filter_map(|name| match &repository.path {
        Some(above) => above.join(name).ok(),
        None => TreePath::parse(name).ok(),
    }));
}
