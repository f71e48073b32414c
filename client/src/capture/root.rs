//! Where the tree begins that a directory belongs to.

use handoff_proto::path::{AbsolutePath, PathError};

use super::git::{Git, GitError};
use super::repository;

/// The root cannot be found or used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// git cannot be asked.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The root's path cannot be carried.
    #[error("the root of this tree cannot be handed off")]
    Path(#[from] PathError),
}

/// The git toplevel of a directory, else the directory itself; both are real paths.
///
/// # Errors
///
/// Where git cannot be asked or answers with a path that cannot be carried.
pub fn find(directory: &AbsolutePath) -> Result<AbsolutePath, RootError> {
    if let Some(toplevel) = repository::toplevel(directory.as_os_path()) {
        return match toplevel {
            Some(toplevel) => Ok(AbsolutePath::try_from(toplevel.as_path())?),
            None => Ok(directory.clone()),
        };
    }
    match Git::new(directory.as_os_path()).toplevel()? {
        Some(toplevel) => Ok(AbsolutePath::parse(&toplevel)?),
        None => Ok(directory.clone()),
    }
}
