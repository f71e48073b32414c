//! Keeps what git packed anew from travelling anew.
//!
//! After a local `git gc` or `git repack` the same objects lie in other packs with other bytes. A
//! snapshot then carries the packs and loose objects that the remote has from the last snapshot,
//! and one small pack of the objects that it lacks. The object store is the same as a set, not file
//! by file, and may hold objects that were pruned here since.
//!
//! ```text
//! indices of unknown local packs ─┐
//!                                 ├─▶ what is missing ─▶ generated pack ─▶ items of the snapshot
//! what the remote has (memory) ───┘
//! ```
//!
//! Only ever an economy: whatever stands in the way, packs are carried as they are.

mod change;
mod exchange;
mod generate;
mod index;
mod memory;
mod store;
#[cfg(test)]
mod tests;
mod unknown;

use handoff_proto::path::TreePath;

pub use self::memory::PackMemory;

use super::Capture;
use super::layout::Item;
use super::source::{Directory, Source};

/// Replaces packs that are not known by what the remote has and what it lacks.
pub(super) fn exchange(
    items: Vec<Item>,
    root: &Directory,
    memory: Option<&PackMemory>,
) -> Vec<Item> {
    let Some(memory) = memory else { return items };
    let Some(remembered) = memory.load() else { return items };
    exchange::exchange(items, root, memory, &remembered)
}

impl Capture {
    /// Whether only the remote has the content of this file. Where it has lost it, the tree has to
    /// be captured again after [`PackMemory::forget`].
    #[must_use]
    pub fn is_remembered(&self, path: &TreePath) -> bool {
        let at = self.manifest.entries.binary_search_by(|entry| entry.path.cmp(path));
        at.is_ok_and(|at| matches!(self.sources[at], Source::Remote(_)))
    }
}
