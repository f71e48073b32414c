//! The state of one repository of the tree, read as data.
//!
//! HEAD, references, operations in progress and the index's extent are parsed here, with limits.
//! Objects are read by git, which is given an empty repository of our own with links to the run's
//! objects as an alternate store: nothing of the run's settings, hooks, attributes, filters or
//! alternates is in force.

mod clean;
mod index;
mod objects;
mod operations;
mod refs;
mod store;
mod text;

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::path::Path;

use handoff_proto::manifest::{
    Head, IndexEntry, ObjectFormat, Oid, Operation, RefName, Repository,
};
use handoff_proto::path::TreePath;
use handoff_proto::tree::FileError;
use thiserror::Error;

pub(super) use self::clean::CleanRepository;
use super::note::Note;

/// The state of a repository cannot be returned.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(super) enum GitError {
    /// Something of the git directory cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A directory cannot be listed.
    #[error("list `{path}`")]
    List {
        /// The escaped path.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// It is not what a git directory holds.
    #[error("`{path}` {problem}")]
    Odd {
        /// The escaped path.
        path: String,
        /// What is odd about it.
        problem: &'static str,
    },
    /// It lacks what makes a git directory.
    #[error("its git directory is gone or no git directory any more")]
    NoRepository,
    /// A limit.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// What there is too much of, as a plural.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An object that is needed is not there.
    #[error("object {oid}, which {what} names, is missing")]
    MissingObject {
        /// The object.
        oid: Oid,
        /// What names it.
        what: String,
    },
    /// git cannot be started or ended badly.
    #[error("`git {command}` failed: {message}")]
    Git {
        /// The subcommand.
        command: &'static str,
        /// The beginning of what it said, escaped.
        message: String,
    },
    /// git's answer is none that git gives.
    #[error("cannot understand the answer of `git {0}`")]
    Answer(&'static str),
    /// A file of our own.
    #[error("cannot use the scratch directory")]
    Scratch(#[source] std::io::Error),
}

/// The state of a repository that the snapshot has, as it is now.
#[derive(Debug)]
pub(super) struct GitState {
    pub(super) head: Head,
    pub(super) refs: Vec<(RefName, Oid)>,
    pub(super) index: Vec<IndexEntry>,
    pub(super) in_progress: Vec<(Operation, Vec<Oid>)>,
    /// Whether there are objects that the snapshot lacks, in [`CleanRepository::pack`].
    pub(super) has_pack: bool,
}

/// A git directory of the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct GitDirectory<'a> {
    /// The root of the tree.
    pub(super) root: BorrowedFd<'a>,
    /// Where the tree is.
    pub(super) tree: &'a Path,
    /// Where the git directory is in it.
    pub(super) path: &'a TreePath,
    /// How the snapshot's repository names objects; ids of another format are none.
    pub(super) format: ObjectFormat,
}

/// Reads the state of a repository.
///
/// `clean` holds its index already. `base_git` is the directory with the snapshot's index.
///
/// # Errors
///
/// Where anything but single references is not as git leaves it.
pub(super) fn state(
    directory: GitDirectory<'_>,
    base: &Repository,
    base_git: &Path,
    clean: &CleanRepository,
    index: Vec<IndexEntry>,
    notes: &mut Vec<Note>,
) -> Result<GitState, GitError> {
    let (head, mut refs) = refs::read(directory, notes)?;
    let in_progress = operations::read(directory)?;
    let base_index = clean.read_base_index(base_git)?;
    let known: HashSet<Oid> = base_index.iter().map(|entry| entry.oid).collect();
    let wanted = objects::Wanted {
        head: &head,
        refs: &mut refs,
        in_progress: &in_progress,
        index: &index,
        base: &base.state,
        known: &known,
    };
    let has_pack = objects::pack(directory, clean, wanted, notes)?;
    Ok(GitState { head, refs, index, in_progress, has_pack })
}
