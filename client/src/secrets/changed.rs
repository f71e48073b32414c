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

/// Tracked files that are not committed as they are; some that are, where only their times changed.
pub(super) fn changed(manifest: &SnapshotManifest) -> Result<HashSet<TreePath>, GitError> {
    let mut changed = HashSet::new();
    for repository in &manifest.repositories {
        let git = git_in(manifest, repository);
        if !has_commit(repository) {
            add(&git.ask(&["ls-files", "-z"])?, repository, &mut changed);
            continue;
        }
        add(&git.ask(&STAGED)?, repository, &mut changed);
        add(&git.ask(&UNSTAGED)?, repository, &mut changed);
    }
    Ok(changed)
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
