//! Decides whether the local tree is still what was handed off.
//!
//! Pure. Times, stat data, reflogs, remote-tracking references and packs are not looked at, and
//! nothing in a git directory counts but the parsed state of its repository.

use std::fmt;

use handoff_proto::manifest::{ChangeKind, RefName, Repository, RepositoryState, SnapshotManifest};
use handoff_proto::path::TreePath;

use super::pairs::{outside_git, pairs};

/// One way in which the local tree is no longer what was handed off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// A file, directory or link.
    Path(TreePath, ChangeKind),
    /// A repository is no longer there.
    RepositoryGone(RepositoryPath),
    /// HEAD names another branch or another commit.
    Head(RepositoryPath),
    /// Other entries are staged.
    Index(RepositoryPath),
    /// A merge, rebase or the like was begun or ended.
    InProgress(RepositoryPath),
    /// A rebase is in progress here and went on in the run; its state cannot be brought back.
    Rebase(RepositoryPath),
    /// The branch that the run ended on has another commit here than it had.
    Branch(RepositoryPath, RefName),
    /// The branch that the run ended on is checked out in another worktree.
    CheckedOut(RepositoryPath, RefName),
    /// The run ended on a branch that exists here but has no commit there.
    Unborn(RepositoryPath, RefName),
}

/// Where a repository is: `None` for the root's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryPath(pub Option<TreePath>);

impl fmt::Display for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => path.fmt(f),
            None => f.pad("."),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path, ChangeKind::Added) => write!(f, "`{path}` is new here"),
            Self::Path(path, ChangeKind::Removed) => write!(f, "`{path}` was removed here"),
            Self::Path(path, ChangeKind::Modified) => write!(f, "`{path}` was changed here"),
            Self::RepositoryGone(at) => write!(f, "the repository in `{at}` is gone here"),
            Self::Head(at) => write!(f, "HEAD of `{at}` was moved here"),
            Self::Index(at) => write!(f, "what is staged in `{at}` was changed here"),
            Self::InProgress(at) => write!(f, "a merge or the like in `{at}` began or ended here"),
            Self::Rebase(at) => write!(f, "a rebase is in progress in `{at}`"),
            Self::Branch(at, branch) => write!(f, "`{branch}` of `{at}` was moved here"),
            Self::CheckedOut(at, branch) => {
                write!(f, "`{branch}` of `{at}` is checked out in another worktree")
            }
            Self::Unborn(at, branch) => write!(f, "`{branch}` of `{at}` has no commit in the run"),
        }
    }
}

/// Lists how `local` differs from what was handed off, paths first.
#[must_use]
pub fn divergences(base: &SnapshotManifest, local: &SnapshotManifest) -> Vec<Divergence> {
    let mut found: Vec<Divergence> = pairs(outside_git(&base.entries), outside_git(&local.entries))
        .map(|pair| Divergence::Path(pair.path().clone(), pair.change_kind()))
        .collect();
    for repository in &base.repositories {
        match find(&local.repositories, repository.path.as_ref()) {
            Some(now) => state(repository, &now.state, &mut found),
            None => found.push(Divergence::RepositoryGone(RepositoryPath(repository.path.clone()))),
        }
    }
    found
}

/// The repository at this path.
#[must_use]
pub fn find<'a>(repositories: &'a [Repository], path: Option<&TreePath>) -> Option<&'a Repository> {
    repositories.iter().find(|repository| repository.path.as_ref() == path)
}

fn state(base: &Repository, now: &RepositoryState, found: &mut Vec<Divergence>) {
    let at = || RepositoryPath(base.path.clone());
    let was = &base.state;
    if was.head != now.head || was.object_format != now.object_format {
        found.push(Divergence::Head(at()));
    }
    if was.index_digest != now.index_digest {
        found.push(Divergence::Index(at()));
    }
    if was.in_progress != now.in_progress {
        found.push(Divergence::InProgress(at()));
    }
}
