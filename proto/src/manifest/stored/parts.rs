//! Small stored messages to domain values.

use crate::manifest::entry::Timestamp;
use crate::manifest::error::RepositoryProblem;
use crate::manifest::index::{IndexEntry, IndexFlags};
use crate::manifest::oid::{ObjectFormat, Oid};
use crate::manifest::ref_name::RefName;
use crate::manifest::repository::{Head, Operation};
use crate::path::{TreePath, escaped};
use crate::wire;

pub(super) fn time(stored: wire::StoredTime) -> Timestamp {
    Timestamp { secs: stored.seconds, nanos: stored.nanoseconds }
}

pub(super) fn format(stored: i32) -> Result<ObjectFormat, RepositoryProblem> {
    match wire::StoredObjectFormat::try_from(stored) {
        Ok(wire::StoredObjectFormat::Sha1) => Ok(ObjectFormat::Sha1),
        Ok(wire::StoredObjectFormat::Sha256) => Ok(ObjectFormat::Sha256),
        Ok(wire::StoredObjectFormat::Unspecified) | Err(_) => Err(RepositoryProblem::ObjectFormat),
    }
}

pub(super) fn head(stored: Option<wire::StoredHead>) -> Result<Head, RepositoryProblem> {
    let stored = stored.ok_or(RepositoryProblem::NoHead)?;
    let oid = match stored.oid.as_slice() {
        [] => None,
        bytes => Some(oid(bytes, || "HEAD".to_owned())?),
    };
    match (stored.branch.as_slice(), oid) {
        ([], None) => Err(RepositoryProblem::NoHead),
        ([], Some(oid)) => Ok(Head::Detached(oid)),
        (name, oid) => Ok(Head::Branch(ref_name(name)?, oid)),
    }
}

pub(super) fn named_oid(stored: wire::StoredRef) -> Result<(RefName, Oid), RepositoryProblem> {
    let name = ref_name(&stored.name)?;
    let oid = oid(&stored.oid, || name.to_string())?;
    Ok((name, oid))
}

pub(super) fn index_entry(stored: wire::StoredIndexEntry) -> Result<IndexEntry, RepositoryProblem> {
    let name = || escaped(&stored.path[..stored.path.len().min(512)]);
    let flags = u8::try_from(stored.flags).ok().and_then(IndexFlags::from_bits);
    let (Ok(stage), Some(flags)) = (u8::try_from(stored.stage), flags) else {
        return Err(RepositoryProblem::IndexEntry(name()));
    };
    Ok(IndexEntry {
        path: TreePath::parse(&stored.path).map_err(|_| RepositoryProblem::IndexPath(name()))?,
        mode: stored.mode,
        oid: oid(&stored.oid, name)?,
        stage,
        flags,
    })
}

pub(super) fn operations(
    stored: Vec<wire::StoredOperation>,
    format: ObjectFormat,
) -> Result<Vec<(Operation, Vec<Oid>)>, RepositoryProblem> {
    stored
        .into_iter()
        .map(|stored| {
            let operation = operation(stored.kind)?;
            let heads = stored.heads.chunks(format.oid_len());
            let heads = heads
                .map(|head| oid(head, || format!("{operation:?}")))
                .collect::<Result<_, _>>()?;
            Ok((operation, heads))
        })
        .collect()
}

fn operation(stored: i32) -> Result<Operation, RepositoryProblem> {
    match wire::StoredOperationKind::try_from(stored) {
        Ok(wire::StoredOperationKind::Merge) => Ok(Operation::Merge),
        Ok(wire::StoredOperationKind::CherryPick) => Ok(Operation::CherryPick),
        Ok(wire::StoredOperationKind::Revert) => Ok(Operation::Revert),
        Ok(wire::StoredOperationKind::Rebase) => Ok(Operation::Rebase),
        Ok(wire::StoredOperationKind::Bisect) => Ok(Operation::Bisect),
        Ok(wire::StoredOperationKind::Unspecified) | Err(_) => Err(RepositoryProblem::Operation),
    }
}

fn ref_name(name: &[u8]) -> Result<RefName, RepositoryProblem> {
    RefName::parse(name).map_err(|problem| RepositoryProblem::RefName {
        name: escaped(&name[..name.len().min(512)]),
        problem,
    })
}

fn oid(bytes: &[u8], name: impl FnOnce() -> String) -> Result<Oid, RepositoryProblem> {
    Oid::from_bytes(bytes).map_err(|_| RepositoryProblem::Oid(name()))
}
