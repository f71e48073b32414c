//! The repositories that working trees are made from.

use handoff_proto::manifest::{RefName, RepositoryResult};

use super::{ElsewhereError, Manifests};
use crate::pull::chunks::Chunks;
use crate::pull::git::{Git, Incoming, RefTarget, Tip};
use crate::pull::plan::{PlanError, RefChange, kept_refs};
use crate::pull::prepare::Source;
use crate::pull::receive::staged_tips;
use crate::pull::repository;
use crate::pull::root::Root;
use crate::pull::unchanged::{RepositoryPath, find};

/// A local repository from which a working tree is made.
pub(super) struct RepositorySource<'a> {
    pub(super) git: Git,
    pub(super) result: &'a RepositoryResult,
    pub(super) incoming: Incoming,
    pub(super) refs: Vec<RefChange>,
}

/// Finds the local repository, and takes in and checks what it lacks; `None` if it is not there.
pub(super) fn repository_source<'a>(
    root: &Root,
    result: &'a RepositoryResult,
    manifests: Manifests<'a>,
    branch: &RefName,
    chunks: &Chunks,
    source: &Source,
) -> Result<Option<RepositorySource<'a>>, ElsewhereError> {
    let path = result.path.as_ref();
    let Some(git) = repository::open(root.path(), path)? else { return Ok(None) };
    let known = find(&manifests.base.repositories, path);
    let (Some(base), Some(local)) = (known, find(&manifests.local.repositories, path)) else {
        return Ok(None);
    };
    if git.format() != result.object_format {
        return Err(PlanError::ObjectFormat(RepositoryPath(path.cloned())).into());
    }
    if git.ref_value(&RefTarget::Named(branch.clone()))?.is_some() {
        return Err(ElsewhereError::BranchExists(branch.clone()));
    }
    let mut refs = kept_refs(base, &local.state, result, &source.name)?;
    refs.extend(result.head.oid().map(|after| RefChange {
        name: branch.clone(),
        before: None,
        after,
    }));
    let size = result.pack.iter().map(|chunk| u64::from(chunk.size)).sum();
    let incoming = git.receive(&mut chunks.reader(&result.pack), size)?;
    let named = refs.iter().map(|change| match change.name.branch() {
        Some(_) => Tip::Commit(change.after),
        None => Tip::Any(change.after),
    });
    let operations =
        result.in_progress.iter().flat_map(|(_, heads)| heads).copied().map(Tip::Commit);
    let tips: Vec<Tip> = named.chain(operations).chain(staged_tips(Some(&result.index))).collect();
    incoming.check(&tips)?;
    Ok(Some(RepositorySource { git, result, incoming, refs }))
}
