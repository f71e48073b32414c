//! Walks over the fields of an encoded protobuf message without decoding them.

use crate::manifest::error::ManifestError;

/// One field of a message.
pub(super) struct Field<'a> {
    /// The field's number.
    pub(super) number: u32,
    /// What it holds.
    value: Value<'a>,
    /// The whole field, key included.
    pub(super) encoded: &'a [u8],
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A fixed-width number, which none of our messages has.
    Fixed,
}

impl<'a> Field<'a> {
    /// What a length-delimited field holds.
    pub(super) fn bytes(&self) -> Result<&'a [u8], ManifestError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Number(_) | Value::Fixed => Err(self.mistyped()),
        }
    }

    /// What a number is.
    pub(super) fn number_64(&self) -> Result<u64, ManifestError> {
        match self.value {
            Value::Number(number) => Ok(number),
            Value::Bytes(_) | Value::Fixed => Err(self.mistyped()),
        }
    }

    /// What a number of at most 32 bits is.
    pub(super) fn number_32(&self) -> Result<u32, ManifestError> {
        u32::try_from(self.number_64()?).map_err(|_| self.mistyped())
    }

    fn mistyped(&self) -> ManifestError {
        ManifestError::Malformed(format!("field {} is of another type", self.number))
    }
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

/// Splits the first field off; `None` at the end, and where there is none.
pub(super) fn split_field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (key, rest) = varint(bytes)?;
    let number = u32::try_from(key >> 3).ok().filter(|&number| number > 0)?;
    let (value, rest) = match key & 7 {
        0 => {
            let (number, rest) = varint(rest)?;
            (Value::Number(number), rest)
        }
        1 => (Value::Fixed, rest.get(8..)?),
        2 => {
            let (len, rest) = varint(rest)?;
            let (content, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            (Value::Bytes(content), rest)
        }
        5 => (Value::Fixed, rest.get(4..)?),
        // Groups do not exist in proto3.
        _ => return None,
    };
    let encoded = &bytes[..bytes.len() - rest.len()];
    Some((Field { number, value, encoded }, rest))
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
