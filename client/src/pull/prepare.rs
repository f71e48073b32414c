//! Turns a plan into a record: looks once more at everything that will change and keeps it.
//!
//! Writes into the journal's entry only. What is not as the plan says it is stops the pull here,
//! before anything has changed.

mod nodes;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use handoff_proto::manifest::SnapshotManifest;
use handoff_proto::path::TreePath;
use handoff_proto::tree::FileError;

pub(super) use self::nodes::keep_node;
use self::nodes::tree_step;
use self::steps::repository_steps;
use super::chunks::{ChunkError, Chunks};
use super::git::GitError;
use super::journal::{
    Entry, JournalError, Node, Phase, Place, Record, Relaxed, Side, Text, TreeStep, VERSION,
};
use super::plan::Plan;
use super::repository;

/// Whose result is brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The run's id.
    pub run: String,
    /// Its name.
    pub name: String,
    /// The result's id in hexadecimal digits.
    pub result: String,
}

/// The record cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Something changed since the tree was captured.
    #[error("`{0}` changed meanwhile")]
    Changed(TreePath),
    /// A repository is gone.
    #[error("the repository in `{0}` is gone")]
    RepositoryGone(String),
    /// A file cannot be looked at.
    #[error(transparent)]
    File(#[from] FileError),
    /// A content cannot be kept or had.
    #[error("cannot keep the old content of `{path}`")]
    Keep {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// The old contents cannot be kept.
    #[error("cannot keep the old contents")]
    Disk(#[source] io::Error),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A new content is missing.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// git failed or refused.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Makes the record of putting a plan in place.
///
/// # Errors
///
/// Where something is not as planned, or cannot be kept.
pub fn prepare(
    root: BorrowedFd<'_>,
    root_path: &Path,
    plan: &Plan,
    local: &SnapshotManifest,
    chunks: &Chunks,
    source: &Source,
    entry: &Entry,
) -> Result<Record, PrepareError> {
    let mut tree = Vec::with_capacity(plan.tree.len());
    let mut keeper = entry.keeper()?;
    for change in &plan.tree {
        tree.push(tree_step(root, change, chunks, &mut keeper)?);
    }
    keeper.finish().map_err(PrepareError::Disk)?;
    let mut repositories = Vec::new();
    let mut touched = touched_by_repository(plan, local);
    for repository in &local.repositories {
        let path = repository.path.as_ref();
        let touched = touched.remove(&repository.path).unwrap_or_default();
        let planned = plan.repositories.iter().find(|planned| planned.path.as_ref() == path);
        if planned.is_none() && touched.is_empty() {
            continue;
        }
        let git = repository::open(root_path, path)?.ok_or_else(|| {
            PrepareError::RepositoryGone(path.map_or_else(|| ".".to_owned(), TreePath::to_string))
        })?;
        let number = repositories.len();
        let steps = repository_steps(&git, path, planned, &touched, number, entry)?;
        repositories.extend(steps);
    }
    Ok(Record {
        version: VERSION,
        phase: Phase::Unfinished,
        process: std::process::id(),
        run: source.run.clone(),
        name: source.name.clone(),
        result: source.result.clone(),
        place: Place::InPlace,
        relaxed: relaxed(&tree, local),
        tree,
        repositories,
    })
}

/// Which changing paths lie in which repository, relative to it.
fn touched_by_repository(
    plan: &Plan,
    local: &SnapshotManifest,
) -> BTreeMap<Option<TreePath>, BTreeSet<TreePath>> {
    let mut touched: BTreeMap<Option<TreePath>, BTreeSet<TreePath>> = BTreeMap::new();
    for change in &plan.tree {
        let holds = |at: &Option<TreePath>| {
            at.as_ref().is_none_or(|at| change.path.starts_with(at) && change.path != *at)
        };
        // They are sorted, so that the last one is the innermost.
        let innermost = local.repositories.iter().map(|r| &r.path).rfind(|at| holds(at));
        let Some(at) = innermost else { continue };
        let relative = match at {
            Some(at) => change.path.strip_prefix(at),
            None => Some(change.path.clone()),
        };
        touched.entry(at.clone()).or_default().extend(relative);
    }
    touched
}

/// Directories without write permission in which something changes.
fn relaxed(tree: &[TreeStep], local: &SnapshotManifest) -> Vec<Relaxed> {
    const NEEDED: u32 = 0o700;
    let mut found = BTreeMap::new();
    let steps: BTreeMap<&TreePath, &TreeStep> =
        tree.iter().map(|step| (&step.path.0, step)).collect();
    for parent in tree.iter().filter_map(|step| step.path.0.parent()) {
        let here = local.entry(&parent).filter(|entry| entry.is_directory());
        let here = here.map(|entry| (entry.mode, (entry.mtime.secs, entry.mtime.nanos)));
        let new = steps.get(&parent).and_then(|step| match step.on(Side::After) {
            Some(Node::Directory { mode, mtime }) => Some((*mode, *mtime)),
            _ => None,
        });
        let forbids = |state: &(u32, (i64, u32))| state.0 & NEEDED != NEEDED;
        if [here, new].iter().flatten().any(forbids)
            && let Some((mode, mtime)) = here.or(new)
        {
            found.insert(parent, (mode, mtime));
        }
    }
    let relaxed = |(path, (mode, mtime))| Relaxed { path: Text(path), mode, mtime };
    found.into_iter().map(relaxed).collect()
}
