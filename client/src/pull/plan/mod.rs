//! Decides what a pull does, from what was handed off, what is here now and what the run returned.
//!
//! Pure: what the decision needs to know about the disk comes in as [`Surroundings`]. A path is
//! deleted only if it was handed off; a result is put in place only where nothing has changed
//! since.

mod check;
mod error;
mod repository;

use std::collections::HashMap;
use std::fmt;
use std::io;

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{Entry, Operation, RefName, ResultManifest, SnapshotManifest};
use handoff_proto::path::TreePath;

use super::pairs::{outside_git, pairs};
use super::unchanged::{Divergence, RepositoryPath, divergences, find};

pub use self::check::check_result;
pub use self::error::PlanError;
pub use self::repository::{HeadChange, OperationChange, RefChange, RepositoryPlan, kept_refs};

/// What a pull comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The local tree is the result already.
    UpToDate,
    /// The result can be put in place.
    InPlace(Plan),
    /// The local tree is no longer what was handed off, so that the result must go elsewhere.
    Diverged(Vec<Divergence>),
}

/// What putting a result in place changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files, directories and links that change, sorted by path.
    pub tree: Vec<TreeChange>,
    /// Repositories that change, sorted by path.
    pub repositories: Vec<RepositoryPlan>,
    /// What the run left behind and a pull does not bring back.
    pub left_out: Vec<LeftOut>,
}

/// One path that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeChange {
    /// The path.
    pub path: TreePath,
    /// What is there now.
    pub before: Option<Entry>,
    /// What will be there.
    pub after: Option<Entry>,
}

/// Something that a pull does not bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The git directory of a repository that the run made; its files are brought back.
    NewRepository(TreePath),
    /// The state of a rebase or bisection.
    Operation(RepositoryPath, Operation),
    /// The git directory of a repository that is not here any more; its files are brought back.
    Repository(RepositoryPath),
    /// A repository of which the run returned only the files.
    History(RepositoryPath),
}

/// What is at a path that was not handed off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What a plan must know about the disk beside the captured tree.
pub trait Surroundings {
    /// What is at a path that is not part of the captured tree.
    ///
    /// # Errors
    ///
    /// Where the path cannot be looked at.
    fn occupant(&self, path: &TreePath) -> io::Result<Option<Occupant>>;

    /// Something beneath a captured directory that is not part of the captured tree.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be read.
    fn uncaptured_beneath(&self, directory: &TreePath) -> io::Result<Option<TreePath>>;

    /// The branches of a repository that other worktrees have checked out.
    fn checked_out_elsewhere(&self, repository: Option<&TreePath>) -> &[RefName];
}

impl Plan {
    /// The contents that are needed: chunk ids and sizes in bytes.
    #[must_use]
    pub fn wanted(&self) -> HashMap<ChunkId, u32> {
        let packs = self.repositories.iter().flat_map(|repository| &repository.pack);
        let files = self.tree.iter().filter_map(TreeChange::new_content);
        packs.chain(files.flatten()).map(|chunk| (chunk.id, chunk.size)).collect()
    }
}

impl TreeChange {
    /// The new content of a file; `None` where no content changes.
    fn new_content(&self) -> Option<&[ChunkRef]> {
        let after = self.after.as_ref()?;
        let same = self.before.as_ref().is_some_and(|before| before.kind == after.kind);
        (!same).then_some(after.chunks())
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewRepository(path) => {
                write!(f, "`{path}` became a repository: its files come back, its history does not")
            }
            Self::Operation(at, Operation::Bisect) => {
                write!(f, "the bisection in `{at}` is not brought back")
            }
            Self::Operation(at, _) => write!(f, "the rebase in `{at}` is not brought back"),
            Self::History(at) => write!(
                f,
                "the run returned only the files of the repository in `{at}`, not its commits, branches and index"
            ),
            Self::Repository(at) => {
                write!(
                    f,
                    "there is no repository in `{at}` here: its files come back, its history does not"
                )
            }
        }
    }
}

/// Decides what a pull does. `name` is the run's.
///
/// # Errors
///
/// Where the result breaks a rule or something that was not handed off is in its way.
pub fn decide(
    base: &SnapshotManifest,
    local: &SnapshotManifest,
    result: &ResultManifest,
    name: &str,
    surroundings: &impl Surroundings,
) -> Result<Decision, PlanError> {
    check_result(base, result)?;
    let mut obstacles = Vec::new();
    let mut plan = Plan {
        tree: tree_changes(local, result),
        repositories: Vec::new(),
        left_out: not_returned(base, result),
    };
    for repository in &result.repositories {
        let path = repository.path.as_ref();
        let known = find(&base.repositories, path).zip(find(&local.repositories, path));
        let Some((base, local)) = known else {
            plan.left_out.push(LeftOut::Repository(RepositoryPath(path.cloned())));
            continue;
        };
        let elsewhere = surroundings.checked_out_elsewhere(path);
        let sides = repository::Sides { base, local: &local.state, result: repository, elsewhere };
        let planned = repository::plan(&sides, name, &mut obstacles, &mut plan.left_out)?;
        plan.repositories.extend(planned);
    }
    let is_gone = |what: &LeftOut| matches!(what, LeftOut::Repository(_));
    let same_repositories =
        plan.repositories.is_empty() && obstacles.is_empty() && !plan.left_out.iter().any(is_gone);
    if same_repositories && plan.tree.iter().all(|change| is_kept_directory(change, base)) {
        return Ok(Decision::UpToDate);
    }
    let mut reasons = divergences(base, local);
    reasons.append(&mut obstacles);
    if !reasons.is_empty() {
        return Ok(Decision::Diverged(reasons));
    }
    plan.tree = clear_of_obstacles(plan.tree, surroundings)?;
    Ok(Decision::InPlace(plan))
}

/// Repositories of which only the files are in a result.
#[must_use]
pub fn not_returned(base: &SnapshotManifest, result: &ResultManifest) -> Vec<LeftOut> {
    let new = result.new_repositories.iter().cloned().map(LeftOut::NewRepository);
    let is_there = |path: &TreePath| result.entry(path).is_some_and(Entry::is_directory);
    let known = base.repositories.iter().map(|repository| &repository.path);
    let without = known
        .filter(|at| at.as_ref().is_none_or(is_there))
        .filter(|at| !result.repositories.iter().any(|returned| returned.path == **at))
        .map(|at| LeftOut::History(RepositoryPath(at.clone())));
    new.chain(without).collect()
}

/// What lies between a tree and a result.
#[must_use]
pub fn tree_changes(local: &SnapshotManifest, result: &ResultManifest) -> Vec<TreeChange> {
    pairs(outside_git(&local.entries), result.entries.iter())
        .map(|pair| TreeChange {
            path: pair.path().clone(),
            before: pair.before().cloned(),
            after: pair.after().cloned(),
        })
        .collect()
}

/// Whether this is a directory that the run removed and that stays here since it is not empty.
fn is_kept_directory(change: &TreeChange, base: &SnapshotManifest) -> bool {
    change.after.is_none()
        && change.before.as_ref().is_some_and(Entry::is_directory)
        && base.entry(&change.path).is_some_and(Entry::is_directory)
}

/// Drops directories that exist outside the captured tree, and refuses what is in the way.
fn clear_of_obstacles(
    changes: Vec<TreeChange>,
    surroundings: &impl Surroundings,
) -> Result<Vec<TreeChange>, PlanError> {
    let mut clear = Vec::with_capacity(changes.len());
    for change in changes {
        if stands_clear(&change, surroundings)? {
            clear.push(change);
        }
    }
    Ok(clear)
}

/// Whether the change is still to be made.
fn stands_clear(change: &TreeChange, surroundings: &impl Surroundings) -> Result<bool, PlanError> {
    let path = &change.path;
    let failed = |source| PlanError::Surroundings { path: path.clone(), source };
    match (&change.before, &change.after) {
        (None, Some(after)) => match surroundings.occupant(path).map_err(failed)? {
            None => Ok(true),
            Some(Occupant::Directory) if after.is_directory() => Ok(false),
            Some(Occupant::Directory | Occupant::Other) => Err(PlanError::Occupied(path.clone())),
        },
        (Some(before), Some(after)) if before.is_directory() && !after.is_directory() => {
            match surroundings.uncaptured_beneath(path).map_err(failed)? {
                None => Ok(true),
                Some(held) => Err(PlanError::Held { directory: path.clone(), held }),
            }
        }
        (_, _) => Ok(true),
    }
}

#[cfg(test)]
mod tests;
