//! The few tar headers that a bundle holds.

use tar::{EntryType, Header};

use crate::chunk::ChunkId;

/// The length in bytes of a header, and what bodies are padded to.
pub(super) const BLOCK: usize = 512;

/// How the names of chunks begin.
const CHUNK_PREFIX: &[u8] = b"chunk/";

/// What an entry is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Version,
    Manifest,
    Chunk(ChunkId),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version => f.write_str("version"),
            Self::Manifest => f.write_str("manifest"),
            Self::Chunk(id) => write!(f, "chunk/{id}"),
        }
    }
}

/// Writes a header that does not depend on anything but name and size.
pub(super) fn write(name: Name, size: u64) -> [u8; BLOCK] {
    let mut header = Header::new_ustar();
    // Names have at most 70 bytes and the field 100.
    let text = name.to_string();
    header.as_old_mut().name[..text.len()].copy_from_slice(text.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

/// Reads a header and refuses all but regular entries with one of the three names.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<(Name, u64), &'static str> {
    let header = Header::from_byte_slice(block);
    if octal(&header.as_old().cksum) != Some(u64::from(checksum(block))) {
        return Err("has a wrong checksum");
    }
    if !matches!(header.as_old().linkflag, [b'0' | 0]) {
        return Err("is no regular entry");
    }
    if header.as_old().linkname != [0; 100] {
        return Err("names a link");
    }
    // In the POSIX format the rest of a long name; nothing of ours in the others.
    if header.as_ustar().is_some_and(|ustar| ustar.prefix != [0; 155]) {
        return Err("has a long name");
    }
    let name = name(&header.as_old().name).ok_or("has an unknown name")?;
    let size = octal(&header.as_old().size).ok_or("has an unreadable size")?;
    Ok((name, size))
}

fn name(field: &[u8; 100]) -> Option<Name> {
    let len = field.iter().position(|&byte| byte == 0)?;
    let (name, padding) = field.split_at(len);
    if padding.iter().any(|&byte| byte != 0) {
        return None;
    }
    match name {
        b"version" => Some(Name::Version),
        b"manifest" => Some(Name::Manifest),
        _ => {
            let hex = std::str::from_utf8(name.strip_prefix(CHUNK_PREFIX)?).ok()?;
            ChunkId::parse(hex).ok().map(Name::Chunk)
        }
    }
}

/// Digits, then spaces or NULs. The binary form for sizes over 8 GiB is not accepted.
fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().take_while(|&&byte| byte == b' ').count();
    let field = &field[start..];
    let len = field.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let (digits, end) = field.split_at(len);
    if digits.is_empty() || end.iter().any(|&byte| byte != b' ' && byte != 0) {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |value, digit| value.checked_mul(8)?.checked_add(u64::from(digit - b'0')))
}

/// The sum of all bytes, the checksum's own taken for spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let own = 148..156;
    block
        .iter()
        .enumerate()
        .map(|(place, &byte)| u32::from(if own.contains(&place) { b' ' } else { byte }))
        .sum()
}
