//! Reads a pack's index (`.idx`, version 2): which objects the pack holds and how large each is.
//!
//! An index is data of unknown origin: its size is bounded, nothing is believed that was not
//! checked, and what makes no sense is no index.

use handoff_proto::manifest::ObjectFormat;

/// The largest index that is read, in bytes: sixteen million objects.
pub(super) const INDEX_MAX: u64 = 512 << 20;

/// What version 2 begins with.
const MAGIC: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];

/// One count for each value of an id's first byte.
const FAN_OUT: usize = 256;

/// Where the ids begin.
const IDS_AT: usize = MAGIC.len() + FAN_OUT * 4;

/// Marks an offset that is kept in the table of large ones.
const LARGE: u32 = 1 << 31;

/// The index of one pack.
#[derive(Clone, Debug)]
pub(super) struct PackIndex {
    bytes: Vec<u8>,
    /// Number of objects.
    len: usize,
    /// Bytes of an id.
    width: usize,
}

impl PackIndex {
    /// Checks an index; `None` if it is none.
    pub(super) fn parse(bytes: Vec<u8>, format: ObjectFormat) -> Option<Self> {
        let width = format.oid_len();
        let mut len = 0;
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        for at in 0..FAN_OUT {
            let count = read_u32(&bytes, MAGIC.len() + at * 4)?;
            if count < len {
                return None;
            }
            len = count;
        }
        let len = usize::try_from(len).ok()?;
        // After ids, checksums and offsets: large offsets, and the hashes of pack and index.
        let tables = IDS_AT.checked_add(len.checked_mul(width + 8)?)?;
        let large = bytes.len().checked_sub(tables)?.checked_sub(2 * width)?;
        let index = Self { bytes, len, width };
        let sorted = (1..len).all(|at| index.id(at - 1) < index.id(at));
        (sorted && large.is_multiple_of(8)).then_some(index)
    }

    /// How many objects the pack holds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The id of an object, which are sorted; `at` is less than [`len`](Self::len).
    pub(super) fn id(&self, at: usize) -> &[u8] {
        let start = IDS_AT + at * self.width;
        &self.bytes[start..start + self.width]
    }

    /// How many bytes of a pack of `pack_size` bytes each object takes, in the order of the ids;
    /// `None` if the offsets make no sense.
    pub(super) fn sizes(&self, pack_size: u64) -> Option<Vec<u64>> {
        let end = pack_size.checked_sub(self.width as u64)?;
        let mut starts: Vec<(u64, usize)> =
            (0..self.len).map(|at| Some((self.offset(at)?, at))).collect::<Option<_>>()?;
        starts.sort_unstable();
        let mut sizes = vec![0; self.len];
        for (number, &(start, at)) in starts.iter().enumerate() {
            let next = starts.get(number + 1).map_or(end, |&(next, _)| next);
            sizes[at] = next.checked_sub(start)?;
        }
        Some(sizes)
    }

    /// Calls back with the position of each object here that `other` holds too.
    pub(super) fn each_in(&self, other: &Self, mut found: impl FnMut(usize)) {
        let (mut here, mut there) = (0, 0);
        while here < self.len && there < other.len {
            match self.id(here).cmp(other.id(there)) {
                std::cmp::Ordering::Less => here += 1,
                std::cmp::Ordering::Greater => there += 1,
                std::cmp::Ordering::Equal => {
                    found(here);
                    here += 1;
                    there += 1;
                }
            }
        }
    }

    fn offset(&self, at: usize) -> Option<u64> {
        let offsets = IDS_AT + self.len * (self.width + 4);
        let offset = read_u32(&self.bytes, offsets + at * 4)?;
        if offset & LARGE == 0 {
            return Some(u64::from(offset));
        }
        let large = offsets + self.len * 4 + usize::try_from(offset & !LARGE).ok()? * 8;
        // The two hashes at the end are no offsets.
        let end = self.bytes.len() - 2 * self.width;
        let bytes = self.bytes.get(..end)?.get(large..large.checked_add(8)?)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An index of objects at these offsets; the id of each is its number.
    fn index(offsets: &[u32], width: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let count = u32::try_from(offsets.len()).unwrap();
        (0..FAN_OUT).for_each(|_| bytes.extend(count.to_be_bytes()));
        for number in 0..offsets.len() {
            let mut id = vec![0; width];
            id[1..9].copy_from_slice(&(number as u64).to_be_bytes());
            bytes.extend(id);
        }
        bytes.extend(vec![0; offsets.len() * 4]);
        offsets.iter().for_each(|offset| bytes.extend(offset.to_be_bytes()));
        bytes.extend(vec![0; 2 * width]);
        bytes
    }

    #[test]
    fn objects_end_where_the_next_begins() {
        let parsed = PackIndex::parse(index(&[300, 12, 100], 20), ObjectFormat::Sha1).unwrap();
        assert_eq!(parsed.sizes(520).unwrap(), [200, 88, 200]);
        assert_eq!(parsed.sizes(310), None, "the pack is too short");
    }

    #[test]
    fn what_is_shorter_unsorted_or_of_another_format_is_no_index() {
        let whole = index(&[12, 100, 300], 20);
        for len in 0..whole.len() {
            assert!(PackIndex::parse(whole[..len].to_vec(), ObjectFormat::Sha1).is_none(), "{len}");
        }
        assert!(PackIndex::parse(whole.clone(), ObjectFormat::Sha256).is_none());
        let mut unsorted = whole;
        unsorted[IDS_AT + 1] = 1;
        assert!(PackIndex::parse(unsorted, ObjectFormat::Sha1).is_none());
        assert!(PackIndex::parse(index(&[12], 32), ObjectFormat::Sha256).is_some());
    }

    #[test]
    fn a_large_offset_that_is_not_there_makes_no_sense() {
        let parsed = PackIndex::parse(index(&[LARGE | 7], 20), ObjectFormat::Sha1).unwrap();
        assert_eq!(parsed.sizes(1 << 40), None);
    }

    #[test]
    fn common_objects_are_found_by_their_position() {
        let few = PackIndex::parse(index(&[12, 100], 20), ObjectFormat::Sha1).unwrap();
        let many = PackIndex::parse(index(&[12, 100, 300], 20), ObjectFormat::Sha1).unwrap();
        let mut found = Vec::new();
        many.each_in(&few, |at| found.push(at));
        assert_eq!(found, [0, 1]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            offsets in proptest::collection::vec(any::<u32>(), 0..5),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            let mut bytes = index(&offsets, 20);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(parsed) = PackIndex::parse(bytes, ObjectFormat::Sha1) {
                drop(parsed.sizes(1 << 32));
                parsed.each_in(&parsed, |_| {});
            }
        }
    }
}
