//! Changes to what a snapshot carries.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use handoff_proto::manifest::{Entry, Kind, Timestamp};
use handoff_proto::path::TreePath;
use handoff_proto::tree::Origin;

use super::super::layout::{Item, ItemKind};
use super::super::source::{Directory, Source};

/// The permissions that git gives to packs.
const PACK_MODE: u32 = 0o444;

/// What changes in the items of a tree.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    /// Numbers of items that are not carried.
    pub(super) removed: BTreeSet<usize>,
    /// Files that the remote has and that are carried again.
    pub(super) remembered: Vec<&'a Entry>,
    /// Files that were made.
    pub(super) generated: Vec<Item>,
}

impl<'a> Changes<'a> {
    pub(super) fn merge(&mut self, more: Self) {
        self.removed.extend(more.removed);
        self.remembered.extend(more.remembered);
        self.generated.extend(more.generated);
    }

    /// The items after the changes; `remembered` has the directories of remembered files.
    pub(super) fn apply(self, items: Vec<Item>, remembered: &[Entry]) -> Vec<Item> {
        if self.removed.is_empty() {
            return items;
        }
        let stays = |(number, item)| (!self.removed.contains(&number)).then_some(item);
        let mut items: Vec<Item> = items.into_iter().enumerate().filter_map(stays).collect();
        items.extend(self.generated);
        let mut directories = BTreeSet::new();
        for entry in self.remembered {
            items.push(item(entry));
            directories.extend(std::iter::successors(entry.path.parent(), TreePath::parent));
        }
        let directory = |path: &TreePath| {
            let at = remembered.binary_search_by(|entry| entry.path.cmp(path));
            at.ok().map(|at| item(&remembered[at]))
        };
        items.extend(directories.iter().filter_map(directory));
        // Stable: of what is here as well, what is here counts.
        items.sort_by(|a, b| a.path.cmp(&b.path));
        items.dedup_by(|later, earlier| later.path == earlier.path);
        items
    }
}

/// An item without content of its own.
fn item(entry: &Entry) -> Item {
    let kind = match &entry.kind {
        Kind::Directory => ItemKind::Directory,
        Kind::Symlink { target } => ItemKind::Symlink { target: target.clone() },
        Kind::File { size, chunks } => {
            ItemKind::File { size: *size, source: Source::Remote(chunks.as_slice().into()) }
        }
    };
    let Entry { path, mode, mtime, .. } = entry.clone();
    Item { path, mode, mtime, origin: Origin::Git, kind, stamp: None }
}

/// The files of a pack that was made, as parts of an object store.
pub(super) fn generated(made: &Path, store: &TreePath, promisor: bool) -> Option<Vec<Item>> {
    let directory = Arc::new(Directory::open(made).ok()?);
    let mut items = Vec::new();
    for file in std::fs::read_dir(made).ok()? {
        let file = file.ok()?;
        let meta = file.metadata().ok()?;
        let name = TreePath::parse(file.file_name().as_bytes()).ok()?;
        let path = store.join(b"pack").and_then(|packs| packs.join(name.as_bytes())).ok()?;
        let mtime = Timestamp {
            secs: meta.mtime(),
            nanos: u32::try_from(meta.mtime_nsec()).unwrap_or_default(),
        };
        if promisor && let Some(stem) = path.as_bytes().strip_suffix(b".idx") {
            let path = TreePath::parse(&[stem, b".promisor"].concat()).ok()?;
            let kind = ItemKind::File { size: 0, source: Source::Generated(Arc::from([])) };
            items.push(Item {
                path,
                mode: PACK_MODE,
                mtime,
                origin: Origin::Git,
                kind,
                stamp: None,
            });
        }
        let source = Source::Elsewhere(Arc::clone(&directory), name);
        let kind = ItemKind::File { size: meta.len(), source };
        items.push(Item { path, mode: PACK_MODE, mtime, origin: Origin::Git, kind, stamp: None });
    }
    Some(items)
}
