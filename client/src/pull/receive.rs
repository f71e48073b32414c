//! Takes the objects of a plan in and checks all that it names.

use handoff_proto::manifest::{IndexEntry, IndexFlags};

use super::apply::{ApplyError, gone};
use super::chunks::Chunks;
use super::git::{Incoming, Tip};
use super::plan::RepositoryPlan;
use super::repository;
use super::root::Root;

/// Takes the objects of one repository in and checks all that the result names.
pub(super) fn receive(
    root: &Root,
    plan: &RepositoryPlan,
    chunks: &Chunks,
) -> Result<Incoming, ApplyError> {
    let path = plan.path.as_ref();
    let git = repository::open(root.path(), path)?.ok_or_else(|| gone(path))?;
    let size = plan.pack.iter().map(|chunk| u64::from(chunk.size)).sum();
    let incoming = git.receive(&mut chunks.reader(&plan.pack), size)?;
    incoming.check(&tips(plan))?;
    Ok(incoming)
}

/// Every object that a plan names.
fn tips(plan: &RepositoryPlan) -> Vec<Tip> {
    let refs = plan.refs.iter().map(|change| match change.name.branch() {
        Some(_) => Tip::Commit(change.after),
        None => Tip::Any(change.after),
    });
    let head = plan.head.iter().filter_map(|change| change.after.oid()).map(Tip::Commit);
    let operations = plan.in_progress.iter().flat_map(|change| change.after.iter().flatten());
    let operations = operations.copied().map(Tip::Commit);
    refs.chain(head).chain(operations).chain(staged_tips(plan.index.as_deref())).collect()
}

/// Every blob that an index names; commits of submodules are not kept in the repository.
pub(super) fn staged_tips(index: Option<&[IndexEntry]>) -> impl Iterator<Item = Tip> {
    index
        .unwrap_or_default()
        .iter()
        .filter(|entry| entry.mode != 0o160_000)
        .filter(|entry| !entry.flags.contains(IndexFlags::INTENT_TO_ADD))
        .map(|entry| Tip::Blob(entry.oid))
}
