//! Further working trees of a repository.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use handoff_proto::manifest::{Oid, RefName};

use super::{Git, GitError, answer};

impl Git {
    /// The branches that other working trees of this repository have checked out.
    ///
    /// # Errors
    ///
    /// Where git cannot list them.
    pub fn checked_out_elsewhere(&self) -> Result<Vec<RefName>, GitError> {
        let listed = self.ask(&["worktree", "list", "--porcelain", "-z"])?;
        let mut branches = Vec::new();
        let mut here = false;
        for field in listed.split(|&byte| byte == 0) {
            if let Some(path) = field.strip_prefix(b"worktree ") {
                here = super::is_same_directory(Path::new(OsStr::from_bytes(path)), &self.worktree);
            } else if let Some(name) = field.strip_prefix(b"branch ")
                && !here
            {
                branches.extend(RefName::parse(name));
            }
        }
        Ok(branches)
    }

    /// Makes an empty working tree at `path`, which does not exist or is empty, on this branch.
    ///
    /// The branch must exist if there is a `tip` and is yet to be born otherwise. No file is
    /// checked out.
    ///
    /// # Errors
    ///
    /// Where git refuses.
    pub fn add_worktree(
        &self,
        path: &Path,
        branch: &RefName,
        tip: Option<Oid>,
    ) -> Result<Self, GitError> {
        let words: &[&str] = match tip {
            Some(_) => &["worktree", "add", "--quiet", "--no-checkout"],
            None => &["worktree", "add", "--quiet", "--orphan", "-b"],
        };
        let short = OsStr::from_bytes(branch.branch().unwrap_or(branch.as_bytes()));
        let mut command = self.command(words);
        match tip {
            Some(_) => command.arg("--").arg(path).arg(short),
            None => command.arg(short).arg("--").arg(path),
        };
        let output = command.output().map_err(GitError::Run)?;
        answer(&self.worktree, words, output)?;
        Self::open(path)?.ok_or_else(|| self.senseless(words))
    }

    /// Removes a working tree with everything in it.
    ///
    /// # Errors
    ///
    /// Where git refuses.
    pub fn remove_worktree(&self, path: &Path) -> Result<(), GitError> {
        let words = ["worktree", "remove", "--force", "--force"];
        let output = self.command(&words).arg("--").arg(path).output().map_err(GitError::Run)?;
        answer(&self.worktree, &words, output).map(drop)
    }
}
