//! The local packs of one object store that the remote does not know.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use handoff_proto::manifest::{ObjectFormat, Oid};

use super::super::layout::{Item, ItemKind};
use super::super::source::{Content, Directory, Source};
use super::index::{INDEX_MAX, PackIndex};
use super::store;

/// Whether a part is so much of a whole that the rest is worth a pack of its own.
fn is_most(part: u64, whole: u64) -> bool {
    part.saturating_mul(2) >= whole
}

/// A local pack, and what the remote has of it.
#[derive(Debug)]
pub(super) struct Unknown {
    /// Its files, as numbers of items.
    pub(super) files: Vec<usize>,
    pub(super) index: PackIndex,
    pub(super) format: ObjectFormat,
    /// Whether what its objects refer to and is missing was promised by some remote.
    pub(super) promisor: bool,
    /// The object directory on disk.
    pub(super) store: PathBuf,
    /// Bytes that each object takes.
    sizes: Vec<u64>,
    /// Whether the remote has each object.
    has: Vec<bool>,
}

impl Unknown {
    /// Reads the index of a pack; `None` where it must be or had better be carried as it is.
    pub(super) fn read(
        stem: &[u8],
        files: &BTreeMap<Vec<u8>, usize>,
        items: &[Item],
        root: &Directory,
    ) -> Option<Self> {
        // Its owner wants exactly this pack to stay.
        if files.contains_key(b"keep".as_slice()) {
            return None;
        }
        let format = store::format(stem)?;
        let pack = &items[*files.get(b"pack".as_slice())?];
        let index = &items[*files.get(b"idx".as_slice())?];
        let (content, on_disk) = read(index, root)?;
        let index = PackIndex::parse(content, format)?;
        Some(Self {
            files: files.values().copied().collect(),
            sizes: index.sizes(pack.size())?,
            has: vec![false; index.len()],
            index,
            format,
            promisor: files.contains_key(b"promisor".as_slice()),
            store: on_disk.parent()?.parent()?.to_owned(),
        })
    }

    /// Notes that the remote has the objects at these positions.
    pub(super) fn mark(&mut self, positions: &[usize]) {
        positions.iter().for_each(|&at| self.has[at] = true);
    }

    /// Whether carrying what the remote has and what it lacks is better than carrying the pack.
    pub(super) fn is_mostly_known(&self) -> bool {
        let known = self.sizes.iter().zip(&self.has).filter(|(_, has)| **has);
        is_most(known.map(|(size, _)| size).sum(), self.sizes.iter().sum())
    }

    /// The objects that the remote lacks, with their positions.
    pub(super) fn missing(&self) -> impl Iterator<Item = (usize, Oid)> {
        let missing = self.has.iter().enumerate().filter(|(_, has)| !**has);
        missing.filter_map(|(at, _)| Some((at, Oid::from_bytes(self.index.id(at)).ok()?)))
    }
}

/// The content of a file and where it is on disk.
fn read(item: &Item, root: &Directory) -> Option<(Vec<u8>, PathBuf)> {
    let ItemKind::File { source, .. } = &item.kind else { return None };
    let on_disk = match source {
        Source::Tree => root.path().join(item.path.as_os_path()),
        Source::Elsewhere(directory, path) => directory.path().join(path.as_os_path()),
        Source::Generated(_) | Source::Spooled(_) | Source::Remote(_) => return None,
    };
    let Ok(Content::File(file)) = source.open(root, &item.path) else { return None };
    let mut content = Vec::new();
    file.take(INDEX_MAX + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= INDEX_MAX).then_some((content, on_disk))
}
