//! Compares what HEAD says and what is in progress.
//!
//! Pure.

use handoff_proto::manifest::{Head, Oid, Operation};

/// Whether two heads name the same branch, wherever it is, or the same commit without one.
#[must_use]
pub(super) fn says_the_same(a: &Head, b: &Head) -> bool {
    match (a, b) {
        (Head::Branch(a, _), Head::Branch(b, _)) => a == b,
        (Head::Detached(a), Head::Detached(b)) => a == b,
        (Head::Branch(..), Head::Detached(_)) | (Head::Detached(_), Head::Branch(..)) => false,
    }
}

/// An operation's heads; `None` if it is not in progress.
#[must_use]
pub(super) fn heads_of(
    in_progress: &[(Operation, Vec<Oid>)],
    operation: Operation,
) -> Option<&[Oid]> {
    in_progress.iter().find(|(found, _)| *found == operation).map(|(_, heads)| heads.as_slice())
}
