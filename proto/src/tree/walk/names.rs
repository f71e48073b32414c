//! The names in a directory, and how a caller remembers them from one walk to the next.

use std::fmt;
use std::ops::Range;

use crate::path::TreePath;
use crate::tree::meta::{Meta, MetaKind};

/// What each kind is called in an encoding.
const KINDS: [(u8, MetaKind); 6] = [
    (b'f', MetaKind::File),
    (b'd', MetaKind::Directory),
    (b'l', MetaKind::Symlink),
    (b's', MetaKind::Socket),
    (b'p', MetaKind::Fifo),
    (b'b', MetaKind::Device),
];

/// Names that earlier walks have read. Who implements this vouches for them: a name that is
/// missing is not carried.
pub trait KnownNames: fmt::Debug + Sync {
    /// The [`Names`] of a directory (`None` is the root), encoded, if they are known and no name has
    /// come or gone since, going by what the directory is now.
    fn names(&self, directory: Option<&TreePath>, now: &Meta) -> Option<&[u8]>;
}

/// A directory that a walk looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkDirectory {
    /// `None` for the root.
    pub path: Option<TreePath>,
    /// What it was right before its names were read.
    pub meta: Meta,
    /// What was read; `None` where the names were known.
    pub names: Option<Names>,
}

/// The names in a directory with what each was, sorted.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Holds all names, in any order and with anything in between.
    bytes: Vec<u8>,
    sorted: Vec<Name>,
}

/// One of the names in a directory.
#[derive(Clone, Debug)]
pub(super) struct Name {
    at: Range<usize>,
    /// What it was when the directory was read.
    pub(super) kind: MetaKind,
}

impl Names {
    /// Adds a name; call [`sort`](Self::sort) after the last.
    pub(super) fn push(&mut self, name: &[u8], kind: MetaKind) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.sorted.push(Name { at: start..self.bytes.len(), kind });
    }

    pub(super) fn sort(&mut self) {
        let Self { bytes, sorted } = self;
        sorted.sort_unstable_by(|a, b| bytes[a.at.clone()].cmp(&bytes[b.at.clone()]));
    }

    /// The names in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Name)> {
        self.sorted.iter().map(|name| (&self.bytes[name.at.clone()], name))
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Name> {
        let order = |other: &Name| self.bytes[other.at.clone()].cmp(name);
        let place = self.sorted.binary_search_by(order).ok()?;
        Some(&self.sorted[place])
    }

    /// For each name in ascending order a letter for its kind, the name, and a NUL.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(self.bytes.len() + 2 * self.sorted.len());
        for (bytes, name) in self.iter() {
            let letter = KINDS.iter().find(|(_, kind)| *kind == name.kind);
            encoded.extend(letter.map(|(letter, _)| letter));
            encoded.extend_from_slice(bytes);
            encoded.push(0);
        }
        encoded
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is anything else.
    #[must_use]
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let mut names = Self { bytes: encoded.to_vec(), sorted: Vec::new() };
        let (mut at, mut previous): (usize, &[u8]) = (0, &[]);
        while at < encoded.len() {
            let kind = KINDS.iter().find(|(letter, _)| *letter == encoded[at])?.1;
            let start = at + 1;
            let end = start + encoded[start..].iter().position(|&byte| byte == 0)?;
            let name = &encoded[start..end];
            // Ascending names are not empty, and none comes twice.
            if name <= previous || name.contains(&b'/') {
                return None;
            }
            names.sorted.push(Name { at: start..end, kind });
            (at, previous) = (end + 1, name);
        }
        Some(names)
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        let named = |(bytes, name): (_, &Name)| (bytes, name.kind);
        self.iter().map(named).eq(other.iter().map(named))
    }
}

impl Eq for Names {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_read_as_they_were_written(
            names in proptest::collection::btree_map("[^/\0]{1,9}", 0..KINDS.len(), 0..20),
        ) {
            let mut written = Names::default();
            for (name, kind) in names.iter().rev() {
                written.push(name.as_bytes(), KINDS[*kind].1);
            }
            written.sort();
            let read = Names::decode(&written.encode()).expect("names");
            prop_assert_eq!(&read, &written);
            for (name, kind) in &names {
                prop_assert_eq!(read.get(name.as_bytes()).map(|name| name.kind), Some(KINDS[*kind].1));
            }
        }

        #[test]
        fn what_is_no_list_of_names_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(names) = Names::decode(&bytes) {
                prop_assert_eq!(names.encode(), bytes);
            }
        }
    }

    #[test]
    fn names_out_of_order_or_with_a_slash_are_none() {
        for bad in ["fb\0fa\0", "fa\0fa\0", "f\0", "fa/b\0", "fa", "xa\0"] {
            assert_eq!(Names::decode(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
