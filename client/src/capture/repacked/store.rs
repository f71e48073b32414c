//! What the file names of an object store mean.

use std::collections::{BTreeMap, BTreeSet};

use handoff_proto::manifest::{ObjectFormat, Oid};
use handoff_proto::path::TreePath;
use handoff_proto::tree::Origin;

use super::super::layout::Item;

/// The files of a pack without which it is another pack or none. What git only derives from one
/// (bitmaps) or keeps for this machine (`.keep`) is not among them.
const PARTS: [&[u8]; 5] = [b"pack", b"idx", b"rev", b"promisor", b"mtimes"];

/// What a file of an object store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// A file of the pack of this name, with its extension.
    Pack { stem: &'a [u8], extension: &'a [u8] },
    /// Something that names all packs of the store.
    Packs,
    /// An object in a file of its own.
    Loose(Oid),
}

/// Splits the path of a file into its object store and what it is there; `None` for anything else.
pub(super) fn parse(path: &[u8]) -> Option<(&[u8], Name<'_>)> {
    let (directory, name) = split(path)?;
    let (store, directory) = split(directory)?;
    if !(store == b"objects" || store.ends_with(b"/objects")) {
        // Multi-pack indices can lie in a directory of their own.
        let (store, parent) = split(store)?;
        let is_chain = parent == b"pack" && directory == b"multi-pack-index.d";
        return (is_chain && store.ends_with(b"objects")).then_some((store, Name::Packs));
    }
    let name = match directory {
        b"pack" if name.starts_with(b"multi-pack-index") => Name::Packs,
        b"pack" => {
            let dot = name.iter().position(|&byte| byte == b'.')?;
            Name::Pack { stem: &name[..dot], extension: &name[dot + 1..] }
        }
        b"info" if name == b"packs" => Name::Packs,
        fan_out if fan_out.len() == 2 => Name::Loose(Oid::parse(&[fan_out, name].concat()).ok()?),
        _ => return None,
    };
    Some((store, name))
}

/// Whether a file of this extension belongs to its pack on every machine.
pub(super) fn is_part(extension: &[u8]) -> bool {
    PARTS.contains(&extension)
}

/// How the objects of a pack of this name are named; `None` if git would not call a pack so.
pub(super) fn format(stem: &[u8]) -> Option<ObjectFormat> {
    Oid::parse(stem.strip_prefix(b"pack-")?).ok().map(|oid| oid.format())
}

fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().rposition(|&byte| byte == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

/// An object store of a tree that is about to be captured; numbers are those of items.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// The files of each pack by extension.
    pub(super) packs: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, usize>>,
    /// What names all packs.
    pub(super) about_packs: Vec<usize>,
    pub(super) loose: BTreeSet<Oid>,
}

/// The object stores among these items, by their directories.
pub(super) fn stores(items: &[Item]) -> BTreeMap<TreePath, Store> {
    let mut stores: BTreeMap<&[u8], Store> = BTreeMap::new();
    for (number, item) in items.iter().enumerate() {
        if item.origin != Origin::Git {
            continue;
        }
        let Some((directory, name)) = parse(item.path.as_bytes()) else { continue };
        let store = stores.entry(directory).or_default();
        match name {
            Name::Pack { stem, extension } => {
                let pack = store.packs.entry(stem.to_vec()).or_default();
                pack.insert(extension.to_vec(), number);
            }
            Name::Packs => store.about_packs.push(number),
            Name::Loose(oid) => drop(store.loose.insert(oid)),
        }
    }
    let parsed = |(path, store)| Some((TreePath::parse(path).ok()?, store));
    stores.into_iter().filter_map(parsed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let pack = |stem, extension| Some(Name::Pack { stem, extension });
        let id = "78981922613b2afb6025042ff6bd878ac1994e85";
        let (fan_out, rest) = id.split_at(2);
        let loose = Some(Name::Loose(Oid::parse(id.as_bytes()).unwrap()));
        for (path, name) in [
            ("pack/pack-1.idx", pack(b"pack-1", b"idx")),
            ("pack/pack-1.promisor", pack(b"pack-1", b"promisor")),
            ("pack/multi-pack-index", Some(Name::Packs)),
            ("pack/multi-pack-index-1.bitmap", Some(Name::Packs)),
            ("pack/multi-pack-index.d/multi-pack-index-chain", Some(Name::Packs)),
            ("info/packs", Some(Name::Packs)),
            ("info/commit-graph", None),
            ("pack/odd", None),
            (&format!("{fan_out}/{rest}"), loose),
            (&format!("{fan_out}/x{rest}"), None),
        ] {
            let path = format!(".git/objects/{path}");
            let parsed = parse(path.as_bytes());
            assert_eq!(parsed.map(|(_, name)| name), name, "{path}");
        }
        assert_eq!(parse(b"objects/pack/pack-1.idx").unwrap().0, b"objects");
        assert_eq!(parse(b"x/other/pack/pack-1.idx"), None);
        assert_eq!(parse(b"x/notobjects/pack/pack-1.idx"), None);
    }
}
