//! Decides for each object store what is carried instead of packs that the remote does not know.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use handoff_proto::manifest::{Entry, Kind, Oid};
use handoff_proto::path::TreePath;

use super::super::layout::Item;
use super::super::source::Directory;
use super::change::{Changes, generated};
use super::generate;
use super::index::PackIndex;
use super::memory::PackMemory;
use super::store::{self, Name, Store, stores};
use super::unknown::Unknown;

/// How many packs that are no longer here a store may get: git searches them one by one. The
/// objects of smaller ones are packed anew together.
const PACKS_MAX: usize = 32;

/// How many loose objects that are no longer here a store may get; beyond, they are packed.
const LOOSE_MAX: usize = 50_000;

/// Whether a pack with so many objects, of which so many are still used, is worth carrying.
fn is_in_use(used: usize, all: usize) -> bool {
    used > 0 && used.saturating_mul(4) >= all
}

/// What the remote has of one object store.
#[derive(Debug, Default)]
struct Known<'a> {
    /// The files of each pack by extension.
    packs: BTreeMap<&'a [u8], BTreeMap<&'a [u8], &'a Entry>>,
    loose: HashMap<Oid, &'a Entry>,
}

/// A pack that the remote has.
#[derive(Debug)]
struct Candidate<'a> {
    files: Vec<&'a Entry>,
    /// Whether it is here as well, and carried in any case.
    is_here: bool,
    /// The positions of its objects in each unknown pack.
    found: Vec<Vec<usize>>,
}

/// Replaces packs that mostly hold what the remote has.
pub(super) fn exchange(
    items: Vec<Item>,
    root: &Directory,
    memory: &PackMemory,
    remembered: &[Entry],
) -> Vec<Item> {
    let known = known_stores(remembered);
    let mut changes = Changes::default();
    for (path, store) in stores(&items) {
        if let Some(known) = known.get(path.as_bytes()) {
            let exchange = Exchange { items: &items, root, memory, path: &path, store: &store };
            // What cannot be understood or made is no reason to stop: packs stay as they are.
            if let Some(more) = exchange.decide(known) {
                changes.merge(more);
            }
        }
    }
    changes.apply(items, remembered)
}

fn known_stores(remembered: &[Entry]) -> BTreeMap<&[u8], Known<'_>> {
    let mut stores: BTreeMap<&[u8], Known<'_>> = BTreeMap::new();
    for entry in remembered.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })) {
        match store::parse(entry.path.as_bytes()) {
            Some((store, Name::Pack { stem, extension })) => {
                let packs = &mut stores.entry(store).or_default().packs;
                packs.entry(stem).or_default().insert(extension, entry);
            }
            Some((store, Name::Loose(oid))) => {
                stores.entry(store).or_default().loose.insert(oid, entry);
            }
            Some((_, Name::Packs)) | None => {}
        }
    }
    stores
}

/// One object store of the tree.
struct Exchange<'a> {
    items: &'a [Item],
    root: &'a Directory,
    memory: &'a PackMemory,
    path: &'a TreePath,
    store: &'a Store,
}

impl Exchange<'_> {
    /// What changes; `None` if nothing does.
    fn decide<'k>(&self, known: &Known<'k>) -> Option<Changes<'k>> {
        let is_new = |(stem, _): &(&Vec<u8>, _)| !self.is_here(stem, known);
        let new = self.store.packs.iter().filter(is_new);
        let read = |(stem, files): (&Vec<u8>, _)| Unknown::read(stem, files, self.items, self.root);
        let mut unknown: Vec<Unknown> = new.filter_map(read).collect();
        if unknown.is_empty() {
            return None;
        }
        let mut candidates = self.candidates(known, &unknown);
        for candidate in &candidates {
            unknown.iter_mut().zip(&candidate.found).for_each(|(pack, at)| pack.mark(at));
        }
        let mut loose = self.mark_loose(known, &mut unknown);
        let replaced: Vec<bool> = unknown.iter().map(Unknown::is_mostly_known).collect();
        let is_replaced = |number: usize| replaced.get(number) == Some(&true);
        if !replaced.contains(&true) {
            return None;
        }
        candidates.retain(|candidate| {
            let helps =
                |(number, found): (usize, &Vec<usize>)| is_replaced(number) && !found.is_empty();
            !candidate.is_here && candidate.found.iter().enumerate().any(helps)
        });
        loose.retain(|(number, _)| is_replaced(*number));
        let mut changes = Changes::default();
        changes.removed.extend(&self.store.about_packs);
        for pack in unknown.iter().zip(&replaced).filter_map(|(pack, is)| is.then_some(pack)) {
            changes.removed.extend(&pack.files);
        }
        changes.remembered.extend(candidates.into_iter().flat_map(|pack| pack.files));
        changes.remembered.extend(loose.into_iter().map(|(_, entry)| entry));
        for promisor in [false, true] {
            let packs = unknown.iter().zip(&replaced);
            let packs = packs.filter(|(pack, is)| **is && pack.promisor == promisor);
            let packs: Vec<&Unknown> = packs.map(|(pack, _)| pack).collect();
            changes.generated.extend(self.pack_missing(&packs, promisor)?);
        }
        Some(changes)
    }

    /// Whether a pack that the remote has is carried from here. Packs are named after what they
    /// hold.
    fn is_here(&self, stem: &[u8], known: &Known<'_>) -> bool {
        let (Some(here), Some(there)) = (self.store.packs.get(stem), known.packs.get(stem)) else {
            return false;
        };
        [b"pack".as_slice(), b"idx"].iter().all(|part| {
            let size = here.get(*part).map(|&number| self.items[number].size());
            size.is_some() && size == there.get(part).map(|entry| entry.size())
        })
    }

    /// The packs of the remote that are worth carrying: the largest ones, those that are here
    /// besides.
    fn candidates<'k>(&self, known: &Known<'k>, unknown: &[Unknown]) -> Vec<Candidate<'k>> {
        let mut packs: Vec<_> = known.packs.iter().collect();
        packs.sort_by_key(|(_, files)| {
            std::cmp::Reverse(files.get(b"pack".as_slice()).map(|entry| entry.size()))
        });
        let mut elsewhere = 0;
        let mut candidates = Vec::new();
        for (stem, files) in packs {
            let is_here = self.is_here(stem, known);
            if !is_here && elsewhere == PACKS_MAX {
                continue;
            }
            let Some(candidate) = self.candidate(stem, files, is_here, unknown) else { continue };
            elsewhere += usize::from(!is_here);
            candidates.push(candidate);
        }
        candidates
    }

    fn candidate<'k>(
        &self,
        stem: &[u8],
        files: &BTreeMap<&[u8], &'k Entry>,
        is_here: bool,
        unknown: &[Unknown],
    ) -> Option<Candidate<'k>> {
        files.get(b"pack".as_slice())?;
        let content = self.memory.index(files.get(b"idx".as_slice())?)?;
        let index = PackIndex::parse(content, store::format(stem)?)?;
        let promisor = match self.store.packs.get(stem).filter(|_| is_here) {
            Some(here) => here.contains_key(b"promisor".as_slice()),
            None => files.contains_key(b"promisor".as_slice()),
        };
        let mut used = 0;
        let mut found = Vec::new();
        for pack in unknown {
            let mut positions = Vec::new();
            // What a promised object refers to may be missing only while it is known as promised.
            if pack.promisor <= promisor && Some(pack.format) == store::format(stem) {
                pack.index.each_in(&index, |at| positions.push(at));
            }
            used += positions.len();
            found.push(positions);
        }
        let files = files.values().copied().collect();
        (is_here || is_in_use(used, index.len())).then_some(Candidate { files, is_here, found })
    }

    /// Marks what is loose, here or on the remote; returns what of the latter is carried for which
    /// unknown pack.
    fn mark_loose<'k>(
        &self,
        known: &Known<'k>,
        unknown: &mut [Unknown],
    ) -> Vec<(usize, &'k Entry)> {
        let mut carried = Vec::new();
        if known.loose.is_empty() && self.store.loose.is_empty() {
            return carried;
        }
        let plain = unknown.iter_mut().enumerate().filter(|(_, pack)| !pack.promisor);
        for (number, pack) in plain {
            let mut found = Vec::new();
            for (at, oid) in pack.missing() {
                if self.store.loose.contains(&oid) {
                    found.push(at);
                } else if carried.len() < LOOSE_MAX
                    && let Some(entry) = known.loose.get(&oid)
                {
                    found.push(at);
                    carried.push((number, *entry));
                }
            }
            pack.mark(&found);
        }
        carried
    }

    /// A pack of what these packs hold and the remote lacks; nothing if it lacks nothing.
    fn pack_missing(&self, packs: &[&Unknown], promisor: bool) -> Option<Vec<Item>> {
        let missing = packs.iter().flat_map(|pack| pack.missing());
        let ids: BTreeSet<Oid> = missing.map(|(_, oid)| oid).collect();
        let (Some(first), Some(_)) = (packs.first(), ids.first()) else { return Some(Vec::new()) };
        let stores: BTreeSet<_> = packs.iter().map(|pack| pack.store.clone()).collect();
        let stores: Vec<_> = stores.into_iter().collect();
        let ids: Vec<Oid> = ids.into_iter().collect();
        let made = generate::pack(&self.memory.generated(), &stores, first.format, &ids).ok()?;
        generated(&made, self.path, promisor)
    }
}
