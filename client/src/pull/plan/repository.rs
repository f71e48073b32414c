//! Plans what changes in one repository: references, HEAD, index, heads of operations in progress.

use handoff_proto::chunk::ChunkRef;
use handoff_proto::manifest::{
    Head, IndexEntry, Oid, Operation, RefName, Repository, RepositoryResult, RepositoryState,
    index_digest,
};
use handoff_proto::path::TreePath;

use super::{LeftOut, PlanError};
use crate::pull::heads::{heads_of, says_the_same};
use crate::pull::unchanged::{Divergence, RepositoryPath};

/// What changes in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryPlan {
    /// The directory of its working tree; `None` for the root.
    pub path: Option<TreePath>,
    /// One self-contained pack of the objects that are new; empty if there are none.
    pub pack: Vec<ChunkRef>,
    /// References that change, sorted by name.
    pub refs: Vec<RefChange>,
    /// What HEAD becomes, if that changes beyond the commit of its branch.
    pub head: Option<HeadChange>,
    /// What is to be staged, if that changes.
    pub index: Option<Vec<IndexEntry>>,
    /// Operations in progress that change.
    pub in_progress: Vec<OperationChange>,
}

/// One reference that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefChange {
    /// The reference.
    pub name: RefName,
    /// What it holds now; it must still do so when it is changed.
    pub before: Option<Oid>,
    /// What it will hold.
    pub after: Oid,
}

/// What HEAD becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadChange {
    /// What it says now.
    pub before: Head,
    /// What it will say.
    pub after: Head,
}

/// An operation in progress that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationChange {
    /// Merge, cherry-pick or revert.
    pub operation: Operation,
    /// Its heads; `None` if it is not in progress any more.
    pub after: Option<Vec<Oid>>,
}

/// A repository as it was handed off, as it is here and as the run left it.
pub(super) struct Sides<'a> {
    pub(super) base: &'a Repository,
    pub(super) local: &'a RepositoryState,
    pub(super) result: &'a RepositoryResult,
    pub(super) elsewhere: &'a [RefName],
}

impl Sides<'_> {
    fn at(&self) -> RepositoryPath {
        RepositoryPath(self.result.path.clone())
    }
}

/// The operations whose heads are brought back.
const BROUGHT_BACK: [Operation; 3] = [Operation::Merge, Operation::CherryPick, Operation::Revert];

/// References that belong to one working copy and say nothing about the run.
const NOT_BROUGHT_BACK: [&[u8]; 6] = [
    b"refs/remotes/",
    b"refs/handoff/",
    b"refs/bisect/",
    b"refs/rewritten/",
    b"refs/worktree/",
    b"refs/prefetch/",
];

/// Plans one repository; `None` if nothing changes.
pub(super) fn plan(
    sides: &Sides<'_>,
    name: &str,
    obstacles: &mut Vec<Divergence>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<RepositoryPlan>, PlanError> {
    let Sides { base, local, result, .. } = sides;
    if result.object_format != base.state.object_format
        || result.object_format != local.object_format
    {
        return Err(PlanError::ObjectFormat(sides.at()));
    }
    let mut refs = kept_refs(base, local, result, name)?;
    let head = plan_head(sides, &mut refs, obstacles);
    refs.sort_by(|a, b| a.name.cmp(&b.name));
    let changed_index = index_digest(&result.index) != local.index_digest;
    let planned = RepositoryPlan {
        path: result.path.clone(),
        pack: result.pack.clone(),
        refs,
        head,
        index: changed_index.then(|| result.index.clone()),
        in_progress: plan_operations(sides),
    };
    note_operations(sides, left_out);
    let unchanged = planned.refs.is_empty()
        && planned.head.is_none()
        && planned.index.is_none()
        && planned.in_progress.is_empty();
    if !unchanged && rebase_went_on(sides) {
        obstacles.push(Divergence::Rebase(sides.at()));
    }
    Ok((!unchanged).then_some(planned))
}

/// Where the run's other branches and tags are kept: `refs/handoff/<name>/`.
///
/// # Errors
///
/// Where a name leaves no room for that.
pub fn kept_refs(
    base: &Repository,
    local: &RepositoryState,
    result: &RepositoryResult,
    name: &str,
) -> Result<Vec<RefChange>, PlanError> {
    let own = match &result.head {
        Head::Branch(branch, _) => Some(branch),
        Head::Detached(_) => None,
    };
    let mut changes = Vec::new();
    for (found, oid) in &result.refs {
        let elsewhere = NOT_BROUGHT_BACK.iter().any(|prefix| found.as_bytes().starts_with(prefix));
        if Some(found) == own || elsewhere || lookup(&base.state.refs, found) == Some(*oid) {
            continue;
        }
        let kept = kept_name(found, name)?;
        let before = lookup(&local.refs, &kept);
        if before != Some(*oid) {
            changes.push(RefChange { name: kept, before, after: *oid });
        }
    }
    Ok(changes)
}

/// Branches lose `refs/heads/`, everything else only `refs/`.
fn kept_name(found: &RefName, name: &str) -> Result<RefName, PlanError> {
    let short = found
        .branch()
        .or_else(|| found.as_bytes().strip_prefix(b"refs/"))
        .unwrap_or(found.as_bytes());
    let kept = [b"refs/handoff/", name.as_bytes(), b"/", short].concat();
    RefName::parse(&kept).map_err(|why| PlanError::RefName { name: found.clone(), why })
}

/// Moves HEAD's branch if nobody else did, and HEAD to the branch or commit that the run ended on.
fn plan_head(
    sides: &Sides<'_>,
    refs: &mut Vec<RefChange>,
    obstacles: &mut Vec<Divergence>,
) -> Option<HeadChange> {
    let (before, after) = (&sides.local.head, &sides.result.head);
    if let Head::Branch(branch, tip) = after {
        let old = lookup(&sides.base.state.refs, branch);
        let now = lookup(&sides.local.refs, branch);
        match tip {
            Some(tip) if now == Some(*tip) => {}
            Some(tip) if now == old => {
                refs.push(RefChange { name: branch.clone(), before: now, after: *tip });
            }
            Some(_) => obstacles.push(Divergence::Branch(sides.at(), branch.clone())),
            None if now.is_none() => {}
            None => obstacles.push(Divergence::Unborn(sides.at(), branch.clone())),
        }
    }
    if says_the_same(before, after) {
        return None;
    }
    if let Head::Branch(branch, _) = after
        && sides.elsewhere.contains(branch)
    {
        obstacles.push(Divergence::CheckedOut(sides.at(), branch.clone()));
    }
    Some(HeadChange { before: before.clone(), after: after.clone() })
}

fn plan_operations(sides: &Sides<'_>) -> Vec<OperationChange> {
    let change = |operation: Operation| {
        let after = heads_of(&sides.result.in_progress, operation);
        let differs = after != heads_of(&sides.local.in_progress, operation);
        differs.then(|| OperationChange { operation, after: after.map(<[Oid]>::to_vec) })
    };
    BROUGHT_BACK.into_iter().filter_map(change).collect()
}

/// Names rebases and bisections that the run began or took further.
fn note_operations(sides: &Sides<'_>, left_out: &mut Vec<LeftOut>) {
    for operation in [Operation::Rebase, Operation::Bisect] {
        let after = heads_of(&sides.result.in_progress, operation);
        if after.is_some() && after != heads_of(&sides.base.state.in_progress, operation) {
            left_out.push(LeftOut::Operation(sides.at(), operation));
        }
    }
}

/// Whether a rebase that is in progress here got further or ended in the run.
fn rebase_went_on(sides: &Sides<'_>) -> bool {
    let here = heads_of(&sides.local.in_progress, Operation::Rebase);
    here.is_some() && here != heads_of(&sides.result.in_progress, Operation::Rebase)
}

fn lookup(refs: &[(RefName, Oid)], name: &RefName) -> Option<Oid> {
    let place = refs.binary_search_by(|(found, _)| found.cmp(name)).ok()?;
    Some(refs[place].1)
}
