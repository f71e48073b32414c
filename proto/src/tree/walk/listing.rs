//! Collects what a walk finds, and puts it in order.

use crate::path::{PathError, TreePath, escaped};

use crate::tree::error::{REFUSALS_MAX, Refusal, RefusalReason, WalkError};
use crate::tree::meta::{Meta, MetaKind};

use super::names::WalkDirectory;
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

/// What one directory holds.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Sorted by name.
    placed: Vec<Placed>,
    refused: Refused,
    /// The number of the visit to the first directory in it that is looked into.
    pub(super) first_below: usize,
}

/// A thing in a directory.
#[derive(Debug)]
struct Placed {
    entry: WalkEntry,
    when: Carried,
    special_bits: bool,
    hard_linked: bool,
    /// Which of the directories that are looked into this is.
    below: Option<usize>,
}

/// Whether a thing is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    Always,
    /// An ignored directory is carried if anything in it is.
    WithContent,
}

/// What can be neither carried nor left out: the first few, and how many besides.
#[derive(Debug, Default)]
struct Refused {
    first: Vec<Refusal>,
    more: usize,
}

impl Refused {
    fn push(&mut self, path: String, reason: RefusalReason) {
        if self.first.len() < REFUSALS_MAX {
            self.first.push(Refusal { path, reason });
        } else {
            self.more += 1;
        }
    }

    fn append(&mut self, other: Self) {
        let room = REFUSALS_MAX - self.first.len();
        self.more += other.more + other.first.len().saturating_sub(room);
        self.first.extend(other.first.into_iter().take(room));
    }
}

impl Listed {
    /// Adds a thing that may be carried. `below` is its place among the directories in this one
    /// that are looked into.
    pub(super) fn add(
        &mut self,
        entry: WalkEntry,
        meta: &Meta,
        when: Carried,
        below: Option<usize>,
    ) {
        let special_bits = meta.mode != meta.permissions() && meta.kind != MetaKind::Symlink;
        let hard_linked = meta.kind == MetaKind::File && meta.links > 1;
        self.placed.push(Placed { entry, when, special_bits, hard_linked, below });
    }

    pub(super) fn refuse(&mut self, path: &TreePath, reason: RefusalReason) {
        self.refused.push(path.to_string(), reason);
    }

    /// Refuses a name that makes no path, most likely because it gets too long.
    pub(super) fn refuse_name(&mut self, parent: Option<&TreePath>, name: &[u8], error: PathError) {
        let parent = parent.map_or_else(String::new, |parent| format!("{parent}/"));
        let path = format!("{parent}{}", escaped(name));
        self.refused.push(path, RefusalReason::Path(error));
    }
}

/// What one thread has found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// By the number of the visit.
    pub(super) directories: Vec<(usize, Listed)>,
    pub(super) repositories: Vec<WalkRepository>,
    /// What is worth remembering of the directories, in any order.
    pub(super) looked_into: Vec<WalkDirectory>,
    left_out: Vec<LeftOut>,
}

impl Listing {
    pub(super) fn leave_out(&mut self, path: TreePath, reason: LeftOutReason, directory: bool) {
        self.left_out.push(LeftOut { path, reason, directory });
    }
}

/// What all threads have found, in order.
#[derive(Debug, Default)]
pub(super) struct Whole {
    entries: Vec<WalkEntry>,
    repositories: Vec<WalkRepository>,
    looked_into: Vec<WalkDirectory>,
    left_out: Vec<LeftOut>,
    dropped: Dropped,
    refused: Refused,
}

impl Whole {
    /// Puts together what was found in `visits` visits.
    pub(super) fn new(listings: Vec<Listing>, visits: usize) -> Self {
        let mut whole = Self::default();
        let mut directories: Vec<Option<Listed>> = Vec::new();
        directories.resize_with(visits, || None);
        let mut count = 0;
        for listing in listings {
            whole.repositories.extend(listing.repositories);
            whole.looked_into.extend(listing.looked_into);
            whole.left_out.extend(listing.left_out);
            for (number, listed) in listing.directories {
                count += listed.placed.len();
                directories[number] = Some(listed);
            }
        }
        whole.entries.reserve_exact(count);
        whole.add_directory(&mut directories, 0);
        whole.repositories.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        whole.looked_into.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        whole.left_out.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        whole
    }

    /// Adds what a directory holds, which is sorted as paths are: each directory right before all
    /// that is beneath it. No deeper than paths are.
    fn add_directory(&mut self, directories: &mut [Option<Listed>], number: usize) {
        let Some(listed) = directories[number].take() else { return };
        self.refused.append(listed.refused);
        for placed in listed.placed {
            let at = self.entries.len();
            let (special_bits, hard_linked) = (placed.special_bits, placed.hard_linked);
            if special_bits && placed.when == Carried::Always {
                self.dropped.special_bits.push(&placed.entry.path);
            }
            if hard_linked {
                self.dropped.hard_links.push(&placed.entry.path);
            }
            self.entries.push(placed.entry);
            if let Some(below) = placed.below {
                self.add_directory(directories, listed.first_below + below);
            }
            if placed.when == Carried::WithContent {
                self.settle(at, special_bits);
            }
        }
    }

    /// Keeps an ignored directory only with something in it, and for the best of the reasons.
    fn settle(&mut self, at: usize, special_bits: bool) {
        let (directory, within) = self.entries[at..].split_first_mut().unzip();
        let (Some(directory), Some(within)) = (directory, within) else { return };
        if within.is_empty() {
            self.entries.truncate(at);
            return;
        }
        if within.iter().any(|entry| entry.origin == Origin::Tracked) {
            directory.origin = Origin::Tracked;
        }
        if special_bits {
            self.dropped.special_bits.push(&directory.path);
        }
    }

    /// Puts everything beneath another directory, which is carried as well.
    pub(super) fn move_below(&mut self, directory: WalkEntry) {
        let Self { entries, left_out, dropped, refused, .. } = self;
        let paths = left_out
            .iter_mut()
            .map(|left_out| &mut left_out.path)
            .chain(&mut dropped.special_bits.first)
            .chain(&mut dropped.hard_links.first)
            .chain(entries.iter_mut().map(|entry| &mut entry.path));
        for path in paths {
            match directory.path.join(path.as_bytes()) {
                Ok(moved) => *path = moved,
                Err(error) => {
                    refused.push(format!("{}/{path}", directory.path), RefusalReason::Path(error));
                }
            }
        }
        entries.insert(0, directory);
    }

    /// Notes what is lost of a directory that was added by hand.
    pub(super) fn note(&mut self, path: &TreePath, meta: &Meta) {
        if meta.mode != meta.permissions() {
            self.dropped.special_bits.push(path);
        }
    }

    /// The whole, unless anything was refused.
    pub(super) fn finish(self, root: Meta) -> Result<Walk, WalkError> {
        let Refused { first, more } = self.refused;
        if !first.is_empty() {
            return Err(WalkError::Refused { refused: first, more });
        }
        Ok(Walk {
            root,
            entries: self.entries,
            repositories: self.repositories,
            looked_into: self.looked_into,
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
