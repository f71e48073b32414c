//! Where the fields of an encoded snapshot stand, in the one order that they can have.

use std::cmp::Ordering;

use crate::chunk::ChunkRef;
use crate::manifest::error::ManifestError;
use crate::path::compare_by_components;

use super::fields::split_field;
use super::{number, record, session};

/// One field of an encoded snapshot. Places compare by what they are about: an entry that two
/// manifests have is in the same place in both, whatever they say of it.
#[derive(Clone, Copy)]
pub(in crate::manifest) struct Place<'a> {
    number: u32,
    /// The path of an entry; empty for any other field.
    path: &'a [u8],
    /// The whole field, key included.
    pub(in crate::manifest) encoded: &'a [u8],
}

impl Place<'_> {
    pub(in crate::manifest) fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number).then_with(|| compare_by_components(self.path, other.path))
    }

    /// The chunks of an entry or of a session; none for any other field.
    pub(in crate::manifest) fn chunks(&self) -> Result<Vec<ChunkRef>, ManifestError> {
        match split_field(self.encoded) {
            Some((field, _)) if field.number == number::snapshot::ENTRIES => {
                Ok(record::entry(field.bytes()?)?.chunks().to_vec())
            }
            Some((field, _)) if field.number == number::snapshot::SESSION => {
                session::chunks(field.bytes()?)
            }
            Some(_) | None => Ok(Vec::new()),
        }
    }
}

/// The length of the first field; none at the end, and where there is none.
pub(in crate::manifest) fn field_len(rest: &[u8]) -> Option<usize> {
    split_field(rest).map(|(field, _)| field.encoded.len())
}

/// The first field; none at the end, and where there is none.
pub(in crate::manifest) fn place(rest: &[u8]) -> Option<Place<'_>> {
    let (field, _) = split_field(rest)?;
    let path = match field.number {
        number::snapshot::ENTRIES => record::path(field.bytes().ok()?)?,
        _ => &[],
    };
    Some(Place { number: field.number, path, encoded: field.encoded })
}
