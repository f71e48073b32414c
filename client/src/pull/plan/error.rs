//! Why nothing can be planned.

use std::io;

use handoff_proto::manifest::{RefName, RefNameError};
use handoff_proto::path::TreePath;

use crate::pull::unchanged::RepositoryPath;

/// Why nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The result has a file where there is one that was never handed off.
    #[error("`{0}` is here already and was not handed off")]
    Occupied(TreePath),
    /// The result has something else where there is a directory with files of its own.
    #[error(
        "`{directory}` is no directory in the result but holds `{held}`, which was not handed off"
    )]
    Held {
        /// The directory.
        directory: TreePath,
        /// Something in it.
        held: TreePath,
    },
    /// A path that no result may have.
    #[error("`{path}` in the result is refused: {why}")]
    Refused {
        /// The path.
        path: TreePath,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A branch whose name leaves no room for what is put before it.
    #[error("`{name}` of the result cannot be kept: {why}")]
    RefName {
        /// The name in the result.
        name: RefName,
        /// The rule that its new name breaks.
        why: RefNameError,
    },
    /// HEAD names something that is no branch.
    #[error("HEAD of the repository in `{at}` names `{name}`, which is no branch")]
    Head {
        /// The repository.
        at: RepositoryPath,
        /// What HEAD names.
        name: RefName,
    },
    /// A repository whose object ids have another format than they had.
    #[error("the repository in `{0}` has another object format than it had")]
    ObjectFormat(RepositoryPath),
    /// The disk cannot be looked at.
    #[error("cannot look at `{path}`")]
    Surroundings {
        /// The path.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
}
