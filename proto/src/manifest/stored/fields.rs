//! Walks over the fields of an encoded protobuf message without decoding them.

use crate::manifest::error::ManifestError;

/// One field of a message.
pub(super) struct Field<'a> {
    /// The field's number.
    pub(super) number: u32,
    /// What a length-delimited field holds; empty for numbers.
    pub(super) content: &'a [u8],
    /// The whole field, key included.
    pub(super) encoded: &'a [u8],
}

/// Calls `visit` for every field in order.
pub(super) fn each_field<'a>(
    mut rest: &'a [u8],
    mut visit: impl FnMut(Field<'a>) -> Result<(), ManifestError>,
) -> Result<(), ManifestError> {
    while !rest.is_empty() {
        let (field, after) = split_field(rest).ok_or_else(|| {
            ManifestError::Malformed("a field is cut off or of an unknown type".to_owned())
        })?;
        visit(field)?;
        rest = after;
    }
    Ok(())
}

fn split_field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (key, rest) = varint(bytes)?;
    let number = u32::try_from(key >> 3).ok().filter(|&number| number > 0)?;
    let (content, rest) = match key & 7 {
        0 => (&[][..], varint(rest)?.1),
        1 => (&[][..], rest.get(8..)?),
        2 => {
            let (len, rest) = varint(rest)?;
            rest.split_at_checked(usize::try_from(len).ok()?)?
        }
        5 => (&[][..], rest.get(4..)?),
        // Groups do not exist in proto3.
        _ => return None,
    };
    let encoded = &bytes[..bytes.len() - rest.len()];
    Some((Field { number, content, encoded }, rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}
