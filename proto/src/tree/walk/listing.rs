//! Collects what a walk finds.

use crate::path::{PathError, TreePath, escaped};

use crate::tree::error::{REFUSALS_MAX, Refusal, RefusalReason, WalkError};
use crate::tree::meta::{Meta, MetaKind};

use super::{LeftOut, LeftOutReason, Origin, Walk, WalkEntry, WalkKind, WalkRepository};

/// Attributes of carried files that are not carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Files and directories with setuid, setgid or sticky bits.
    pub special_bits: Sample,
    /// Files with more than one name; each name becomes a file of its own.
    pub hard_links: Sample,
}

/// How many there are, and the first few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many there are.
    pub count: usize,
    /// The first twenty.
    pub first: Vec<TreePath>,
}

impl Sample {
    fn push(&mut self, path: &TreePath) {
        /// Enough to see what it is about.
        const SHOWN_MAX: usize = 20;
        self.count += 1;
        if self.first.len() < SHOWN_MAX {
            self.first.push(path.clone());
        }
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Listing {
    entries: Vec<WalkEntry>,
    repositories: Vec<WalkRepository>,
    left_out: Vec<LeftOut>,
    dropped: Dropped,
    refused: Vec<Refusal>,
    refused_more: usize,
}

impl Listing {
    /// Adds a carried thing and notes what of it is lost.
    pub(super) fn carry(&mut self, entry: WalkEntry, meta: &Meta) {
        if meta.mode != meta.permissions() && meta.kind != MetaKind::Symlink {
            self.dropped.special_bits.push(&entry.path);
        }
        if meta.kind == MetaKind::File && meta.links > 1 {
            self.dropped.hard_links.push(&entry.path);
        }
        self.entries.push(entry);
    }

    pub(super) fn repository(&mut self, repository: WalkRepository) {
        self.repositories.push(repository);
    }

    pub(super) fn leave_out(&mut self, path: TreePath, reason: LeftOutReason, directory: bool) {
        self.left_out.push(LeftOut { path, reason, directory });
    }

    pub(super) fn refuse(&mut self, path: &TreePath, reason: RefusalReason) {
        self.add_refusal(path.to_string(), reason);
    }

    /// Refuses a name that makes no path, most likely because it gets too long.
    pub(super) fn refuse_name(&mut self, parent: Option<&TreePath>, name: &[u8], error: PathError) {
        let parent = parent.map_or_else(String::new, |parent| format!("{parent}/"));
        let path = format!("{parent}{}", escaped(name));
        self.add_refusal(path, RefusalReason::Path(error));
    }

    fn add_refusal(&mut self, path: String, reason: RefusalReason) {
        if self.refused.len() < REFUSALS_MAX {
            self.refused.push(Refusal { path, reason });
        } else {
            self.refused_more += 1;
        }
    }

    /// Puts everything found so far beneath another directory.
    pub(super) fn move_below(&mut self, directory: &TreePath) {
        let Self { entries, left_out, dropped, refused, refused_more, .. } = self;
        let paths = left_out
            .iter_mut()
            .map(|left_out| &mut left_out.path)
            .chain(&mut dropped.special_bits.first)
            .chain(&mut dropped.hard_links.first)
            .chain(entries.iter_mut().map(|entry| &mut entry.path));
        for path in paths {
            match directory.join(path.as_bytes()) {
                Ok(moved) => *path = moved,
                Err(error) if refused.len() < REFUSALS_MAX => refused.push(Refusal {
                    path: format!("{directory}/{path}"),
                    reason: RefusalReason::Path(error),
                }),
                Err(_) => *refused_more += 1,
            }
        }
    }

    /// The whole, sorted, unless anything was refused.
    pub(super) fn finish(mut self, root: Meta) -> Result<Walk, WalkError> {
        if !self.refused.is_empty() {
            return Err(WalkError::Refused { refused: self.refused, more: self.refused_more });
        }
        self.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.repositories.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.left_out.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Walk {
            root,
            entries: self.entries,
            repositories: self.repositories,
            left_out: self.left_out,
            dropped: self.dropped,
        })
    }
}

/// Describes a carried thing.
pub(super) fn entry(path: TreePath, kind: WalkKind, meta: &Meta, origin: Origin) -> WalkEntry {
    let mode = match kind {
        WalkKind::Symlink { .. } => 0o777,
        WalkKind::File { .. } | WalkKind::Directory => meta.permissions(),
    };
    WalkEntry {
        path,
        kind,
        mode,
        mtime: meta.mtime,
        ctime: meta.ctime,
        inode: meta.inode,
        device: meta.device,
        origin,
    }
}
