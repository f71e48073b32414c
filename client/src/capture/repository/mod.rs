//! What one repository is and says: where it is, what it tracks, the state that counts.
//!
//! Its files are read here as far as they are plain, which costs a few system calls. Whatever is
//! not (another owner, settings with includes, reftable, a split index, anything broken) is asked
//! of the user's git, which decides and explains. Both ways give the same answer.

mod asked;
mod listing;
mod plain;
mod refs;
mod settings;
mod witness;

use std::io;
use std::path::{Path, PathBuf};

use handoff_proto::manifest::{ObjectFormat, Oid, Operation, RepositoryState};
use handoff_proto::tree::{Case, Tracked, TrackedPaths};

use super::git::{Git, GitError};

use self::witness::Witnesses;

pub(super) use self::settings::toplevel;

/// A repository on this machine.
#[derive(Clone, Debug)]
pub(super) struct LocalRepository {
    git: Git,
    object_format: ObjectFormat,
    /// The git directory of this working tree, absolute.
    pub(super) git_dir: PathBuf,
    /// What all working trees of the repository share; the same where there is only one.
    pub(super) common_dir: PathBuf,
    way: Way,
}

/// How a repository's state is found out.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Its files are plain; `core.ignoreCase` as far as its own settings say.
    Files { ignore_case: Option<bool> },
    /// The user's git is asked.
    Git,
}

/// What a repository said at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) state: RepositoryState,
    pub(super) index: SeenIndex,
    /// `None` where git was asked.
    witnesses: Option<Witnesses>,
}

/// An index file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeenIndex {
    /// The BLAKE3 of the file; `None` where git was asked.
    pub(super) content: Option<[u8; 32]>,
    /// Its size in bytes.
    pub(super) size: u64,
    /// [`index_digest`](handoff_proto::manifest::index_digest) of its entries.
    pub(super) digest: [u8; 32],
}

/// Recalls the digest of an index file with this BLAKE3.
pub(super) type RecallDigest<'a> = dyn Fn(&[u8; 32]) -> Option<[u8; 32]> + 'a;

/// A repository cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// git does not answer.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file in the git directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LocalRepository {
    /// The repository whose working tree is exactly this directory; `None` if there is none.
    pub(super) fn open(worktree: &Path) -> Result<Option<Self>, GitError> {
        match plain::open(worktree) {
            Some(repository) => Ok(Some(repository)),
            None => asked::open(worktree),
        }
    }

    /// Whether its git directory serves one of several working trees.
    pub(super) fn is_linked_worktree(&self) -> bool {
        self.git_dir != self.common_dir
    }

    /// Finds out everything that counts, and what is tracked.
    pub(super) fn look(
        &self,
        recall: &RecallDigest<'_>,
    ) -> Result<(Snapshot, TrackedPaths), RepositoryError> {
        if matches!(self.way, Way::Files { .. })
            && let Some(looked) = plain::look(self, recall)?
        {
            return Ok(looked);
        }
        asked::look(self)
    }

    /// Whether the state is still what it was.
    pub(super) fn is_still(&self, seen: &Snapshot) -> Result<bool, RepositoryError> {
        if seen.witnesses.as_ref().is_some_and(Witnesses::still_hold) {
            return Ok(true);
        }
        let recall = |content: &[u8; 32]| {
            (seen.index.content.as_ref() == Some(content)).then_some(seen.index.digest)
        };
        let (now, _) = self.look(&recall)?;
        Ok(now.state == seen.state)
    }

    /// What a walk has to know. The walk reads `info/exclude` of git directories in the tree by
    /// itself.
    pub(super) fn tracked(
        &self,
        paths: TrackedPaths,
        user_ignores_case: bool,
    ) -> Result<Tracked, RepositoryError> {
        let ignore_case = match self.way {
            Way::Files { ignore_case } => ignore_case.unwrap_or(user_ignores_case),
            Way::Git => asked::ignores_case(&self.git)?,
        };
        Ok(Tracked {
            paths,
            info_exclude: read_if_any(&self.common_dir.join("info/exclude"))?,
            case: if ignore_case { Case::Insensitive } else { Case::Sensitive },
        })
    }

    /// The lock that git holds while it changes the index.
    pub(super) fn index_lock(&self) -> PathBuf {
        self.git_dir.join("index.lock")
    }

    /// What exists while git packs the repository anew.
    pub(super) fn housekeeping_lock(&self) -> PathBuf {
        self.common_dir.join("gc.pid")
    }

    /// The operations in progress; `note` is told of each file before it is looked at.
    fn in_progress(
        &self,
        mut note: impl FnMut(&Path),
    ) -> Result<Vec<(Operation, Vec<Oid>)>, RepositoryError> {
        let mut found = Vec::new();
        for operation in Operation::ALL {
            let heads = match operation.head_file() {
                Some(file) => {
                    let file = self.git_dir.join(file);
                    note(&file);
                    read_if_any(&file)?
                }
                None => None,
            };
            let mut exists = |name: &str| {
                let file = self.git_dir.join(name);
                note(&file);
                file.exists()
            };
            let under_way = match operation {
                Operation::Merge | Operation::CherryPick | Operation::Revert => heads.is_some(),
                Operation::Rebase => exists("rebase-merge") || exists("rebase-apply"),
                Operation::Bisect => exists("BISECT_LOG"),
            };
            if under_way {
                found.push((operation, parse_heads(&heads.unwrap_or_default())));
            }
        }
        Ok(found)
    }
}

/// One id a line; what is no id is git's business, not ours.
fn parse_heads(content: &[u8]) -> Vec<Oid> {
    content.split(|&byte| byte == b'\n').filter_map(|line| Oid::parse(line).ok()).collect()
}

fn read_if_any(path: &Path) -> Result<Option<Vec<u8>>, RepositoryError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(source) => Err(RepositoryError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
