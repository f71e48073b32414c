//! What changed from one encoded manifest to another, entry by entry.
//!
//! A delta is a list of steps: copy so many bytes of the base, drop so many, insert these. The base
//! is used up from its beginning to its end, so that applying a delta takes no more memory than its
//! result and the list needs no offsets. Both sides work on encodings and build no tree: the result
//! is named by its hash, which whoever applies a delta checks.

use std::cmp::Ordering;

use crate::chunk::ChunkRef;

use super::error::ManifestError;
use super::stored::{Place, field_len, place};

/// A delta that does not fit its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// It ends in the middle of a step.
    #[error("the manifest's delta is cut off")]
    CutOff,
    /// It copies or drops more than the base has.
    #[error("the manifest's delta belongs to a longer base")]
    Base,
    /// What it makes has another size than was announced.
    #[error("the manifest's delta does not make the {0} bytes that were announced")]
    Size(u64),
}

/// Writes what makes `new` of `base`. Both are encoded snapshots; for anything else the answer is
/// right too, but hardly shorter than `new`.
#[must_use]
pub fn delta(base: &[u8], new: &[u8]) -> Vec<u8> {
    let mut steps = Steps::default();
    let mut compared = Compared { old: base, new };
    for change in &mut compared {
        match change {
            Change::Same(len) => steps.copy(len),
            Change::Other(gone, come) => steps.replace(encoded(gone), encoded(come)),
        }
    }
    // What is no manifest was not read to its end.
    steps.replace(compared.old, compared.new);
    steps.finish()
}

/// The chunks of `new` that stand in entries which `base` does not have word for word: those that
/// somebody who has all chunks of `base` may lack. Both are encoded snapshots.
///
/// # Errors
///
/// Where an entry of `new` is none.
pub fn changed_chunks(base: &[u8], new: &[u8]) -> Result<Vec<ChunkRef>, ManifestError> {
    let mut chunks = Vec::new();
    for change in (Compared { old: base, new }) {
        if let Change::Other(_, Some(come)) = change {
            chunks.extend(come.chunks()?);
        }
    }
    Ok(chunks)
}

/// Two encoded snapshots field by field, as far as both are some.
struct Compared<'a> {
    /// What is left of the older one.
    old: &'a [u8],
    /// What is left of the newer one.
    new: &'a [u8],
}

/// What became of one field.
enum Change<'a> {
    /// Both have it word for word, so many bytes of it.
    Same(usize),
    /// It went, came, or reads otherwise.
    Other(Option<Place<'a>>, Option<Place<'a>>),
}

impl<'a> Iterator for Compared<'a> {
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Change<'a>> {
        // Nearly all fields are the same: those cost a comparison of bytes and no more.
        if let Some(len) = field_len(self.new)
            && let Some(old) = self.old.strip_prefix(&self.new[..len])
        {
            (self.old, self.new) = (old, &self.new[len..]);
            return Some(Change::Same(len));
        }
        let (gone, come) = (place(self.old), place(self.new));
        let order = match (gone, come) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(gone), Some(come)) => gone.cmp(&come),
        };
        let gone = gone.filter(|_| order.is_le());
        let come = come.filter(|_| order.is_ge());
        self.old = &self.old[encoded(gone).len()..];
        self.new = &self.new[encoded(come).len()..];
        Some(Change::Other(gone, come))
    }
}

/// Makes the manifest of `size` bytes that `delta` describes; it is not checked otherwise.
///
/// # Errors
///
/// Where the delta does not fit the base or the announced size.
pub fn apply_delta(base: &[u8], delta: &[u8], size: u64) -> Result<Vec<u8>, DeltaError> {
    let wrong_size = DeltaError::Size(size);
    let limit = usize::try_from(size).map_err(|_| wrong_size)?;
    let possible = base.len().saturating_add(delta.len());
    let mut made = Vec::with_capacity(limit.min(possible));
    let (mut base, mut delta) = (base, delta);
    while !delta.is_empty() {
        let [copied, dropped, inserted] =
            [number(&mut delta)?, number(&mut delta)?, number(&mut delta)?];
        let copied = take(&mut base, copied).ok_or(DeltaError::Base)?;
        take(&mut base, dropped).ok_or(DeltaError::Base)?;
        let inserted = take(&mut delta, inserted).ok_or(DeltaError::CutOff)?;
        if made.len() + copied.len() + inserted.len() > limit {
            return Err(wrong_size);
        }
        made.extend_from_slice(copied);
        made.extend_from_slice(inserted);
    }
    if made.len() == limit { Ok(made) } else { Err(wrong_size) }
}

/// Steps on their way into a delta; neighbours are joined.
#[derive(Default)]
struct Steps {
    written: Vec<u8>,
    copied: usize,
    dropped: usize,
    inserted: Vec<u8>,
}

impl Steps {
    /// Puts `new` in the place of `old`, keeping what both begin and end with.
    fn replace(&mut self, old: &[u8], new: &[u8]) {
        if old == new {
            return self.copy(old.len());
        }
        let shorter = old.len().min(new.len());
        let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let ends = old.iter().rev().zip(new.iter().rev()).take(shorter - head);
        let tail = ends.take_while(|(a, b)| a == b).count();
        self.copy(head);
        self.dropped += old.len() - head - tail;
        self.inserted.extend_from_slice(&new[head..new.len() - tail]);
        self.copy(tail);
    }

    fn copy(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        if self.dropped > 0 || !self.inserted.is_empty() {
            self.write();
        }
        self.copied += len;
    }

    fn write(&mut self) {
        for number in [self.copied, self.dropped, self.inserted.len()] {
            prost::encoding::encode_varint(number as u64, &mut self.written);
        }
        self.written.append(&mut self.inserted);
        (self.copied, self.dropped) = (0, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.copied > 0 || self.dropped > 0 || !self.inserted.is_empty() {
            self.write();
        }
        self.written
    }
}

fn encoded(place: Option<Place<'_>>) -> &[u8] {
    place.map_or(&[], |place| place.encoded)
}

fn number(delta: &mut &[u8]) -> Result<usize, DeltaError> {
    let number = prost::encoding::decode_varint(delta).map_err(|_| DeltaError::CutOff)?;
    usize::try_from(number).map_err(|_| DeltaError::Base)
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}
