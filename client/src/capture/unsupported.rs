//! Layouts that cannot be carried exactly, or whose result could not be brought back.

use std::path::{Path, PathBuf};

use super::repository::LocalRepository;

/// A layout of git that is refused by name, before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The root has no working tree. As plain files its settings and hooks would come back from a
    /// run unchecked.
    #[error("{path} is a bare repository, which has no working tree to hand off")]
    Bare {
        /// The root.
        path: PathBuf,
    },
    /// The references of a result are read from files only.
    #[error("{git_dir} keeps its references in the reftable format, which is not supported")]
    Reftable {
        /// The git directory.
        git_dir: PathBuf,
    },
    /// The snapshot could not have all objects.
    #[error("{list} names {lender}, which does not exist: objects may be missing")]
    MissingLender {
        /// The list of alternates.
        list: PathBuf,
        /// The object directory that is named there.
        lender: PathBuf,
    },
}

impl Unsupported {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Bare { .. } => {
                "make a working tree with `git worktree add ../DIR BRANCH` and hand that off"
                    .to_owned()
            }
            Self::Reftable { .. } => {
                "convert it with `git refs migrate --ref-format=files`".to_owned()
            }
            Self::MissingLender { list, .. } => format!(
                "bring the directory back; or, where `git fsck` finds nothing missing, remove its \
                 line from {}",
                list.display()
            ),
        }
    }
}

/// Refuses a root that is a git directory itself.
pub(super) fn check_root(root: &Path) -> Result<(), Unsupported> {
    let looks_bare = root.join("HEAD").symlink_metadata().is_ok()
        && root.join("objects").is_dir()
        && root.join("refs").is_dir();
    if looks_bare && root.join(".git").symlink_metadata().is_err() {
        return Err(Unsupported::Bare { path: root.to_owned() });
    }
    Ok(())
}

/// Refuses a repository whose result could not be read.
pub(super) fn check(repository: &LocalRepository) -> Result<(), Unsupported> {
    let git_dir = &repository.common_dir;
    if git_dir.join("reftable").is_dir() {
        return Err(Unsupported::Reftable { git_dir: git_dir.clone() });
    }
    Ok(())
}
