//! Reads git's index file as far as paths, modes, objects and flags go (`gitformat-index`).
//!
//! Versions 2 to 4 with both object formats; whatever changes the meaning of the entries (a split
//! or sparse index, an extension that is not optional) is left to git. Never trusts a length.

use std::ops::Range;

use handoff_proto::manifest::{IndexEntry, IndexFlags, ObjectFormat, Oid};
use handoff_proto::path::TreePath;
use handoff_proto::tree::TrackedPaths;

/// Two times, device, inode, mode, owners and size before the object id.
const STAT_LEN: usize = 40;
const MODE_AT: usize = 24;

const ASSUME_UNCHANGED: u16 = 0x8000;
const EXTENDED: u16 = 0x4000;
const SKIP_WORKTREE: u16 = 0x4000;
const INTENT_TO_ADD: u16 = 0x2000;

/// What [`EXTENDED`] entries may say besides.
const EXTENDED_UNKNOWN: u16 = 0x9fff;

/// A tree that stands for all that is in it.
const SPARSE_DIRECTORY: u32 = 0o040_000;

/// An index file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    /// The paths, and where they are in `bytes`: the file itself if it holds them in full.
    bytes: Vec<u8>,
    paths: Vec<Range<usize>>,
    /// Flags and object of each.
    entries: Vec<Fields>,
}

#[derive(Debug)]
struct Fields {
    mode: u32,
    oid: Oid,
    stage: u8,
    flags: IndexFlags,
}

impl IndexFile {
    /// Reads a file; `None` to ask git.
    pub(crate) fn parse(content: Vec<u8>, format: ObjectFormat) -> Option<Self> {
        let end = content.len().checked_sub(format.oid_len())?;
        let mut reader = Reader { content: &content[..end], at: 0 };
        if reader.take::<4>()? != b"DIRC" {
            return None;
        }
        let version = reader.number()?;
        let count = usize::try_from(reader.number()?).ok()?;
        if !(2..=4).contains(&version) {
            return None;
        }
        // Each entry takes more than its fixed part.
        let possible = content.len() / (STAT_LEN + format.oid_len());
        let (mut paths, mut entries) = (Vec::new(), Vec::new());
        paths.reserve_exact(count.min(possible));
        entries.reserve_exact(count.min(possible));
        let mut expanded = Vec::new();
        for _ in 0..count {
            let start = reader.at;
            entries.push(reader.fields(format, version)?);
            if version == 4 {
                let previous = paths.last().cloned().unwrap_or(0..0);
                paths.push(reader.compressed_path(&mut expanded, previous)?);
            } else {
                paths.push(reader.padded_path(start)?);
            }
        }
        reader.only_optional_extensions_follow()?;
        let bytes = if version == 4 { expanded } else { content };
        Some(Self { bytes, paths, entries })
    }

    /// Every entry by itself.
    pub(crate) fn entries(&self) -> Option<Vec<IndexEntry>> {
        let each = self.paths.iter().zip(&self.entries);
        each.map(|(path, fields)| {
            let &Fields { mode, oid, stage, flags } = fields;
            let path = TreePath::parse(&self.bytes[path.clone()]).ok()?;
            Some(IndexEntry { path, mode, oid, stage, flags })
        })
        .collect()
    }

    /// What is tracked.
    pub(crate) fn into_tracked(self) -> TrackedPaths {
        TrackedPaths::from_spans(self.bytes, self.paths)
    }
}

struct Reader<'a> {
    content: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let taken = self.content.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn half(&mut self) -> Option<u16> {
        self.take().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// Everything of an entry but its path.
    fn fields(&mut self, format: ObjectFormat, version: u32) -> Option<Fields> {
        let stat = self.take::<STAT_LEN>()?;
        let mode = u32::from_be_bytes(*stat[MODE_AT..].first_chunk()?);
        if mode == SPARSE_DIRECTORY {
            return None;
        }
        let oid = match format {
            ObjectFormat::Sha1 => Oid::Sha1(*self.take()?),
            ObjectFormat::Sha256 => Oid::Sha256(*self.take()?),
        };
        let word = self.half()?;
        let more = match (word & EXTENDED != 0, version) {
            (false, _) => 0,
            (true, 2) => return None,
            (true, _) => self.half()?,
        };
        if more & EXTENDED_UNKNOWN != 0 {
            return None;
        }
        let flags = [
            (word & ASSUME_UNCHANGED, IndexFlags::ASSUME_UNCHANGED),
            (more & SKIP_WORKTREE, IndexFlags::SKIP_WORKTREE),
            (more & INTENT_TO_ADD, IndexFlags::INTENT_TO_ADD),
        ];
        let set = flags.into_iter().filter(|(bit, _)| *bit != 0);
        let flags = set.fold(IndexFlags::NONE, |flags, (_, flag)| flags.with(flag));
        let stage = u8::try_from((word >> 12) & 3).ok()?;
        Some(Fields { mode, oid, stage, flags })
    }

    /// The bytes up to a NUL, without it.
    fn until_nul(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let len = self.content.get(start..)?.iter().position(|&byte| byte == 0)?;
        self.at = start + len + 1;
        Some(start..start + len)
    }

    /// A path with one to eight NULs after it, so that the whole entry is a multiple of eight long.
    fn padded_path(&mut self, entry_start: usize) -> Option<Range<usize>> {
        let path = self.until_nul()?;
        let len = path.end - entry_start;
        self.at = entry_start + (len / 8 + 1) * 8;
        (self.at <= self.content.len() && !path.is_empty()).then_some(path)
    }

    /// A path that begins like the one before.
    fn compressed_path(
        &mut self,
        expanded: &mut Vec<u8>,
        previous: Range<usize>,
    ) -> Option<Range<usize>> {
        let removed = self.offset()?;
        let kept = previous.len().checked_sub(removed)?;
        let rest = self.until_nul()?;
        let start = expanded.len();
        expanded.extend_from_within(previous.start..previous.start + kept);
        expanded.extend_from_slice(&self.content[rest]);
        (expanded.len() > start).then_some(start..expanded.len())
    }

    /// A number as in offset deltas of packs: seven bits a byte, each further byte counting one
    /// more.
    fn offset(&mut self) -> Option<usize> {
        let mut byte = self.take::<1>()?[0];
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.take::<1>()?[0];
            value = value.checked_add(1)?.checked_mul(128)? + usize::from(byte & 0x7f);
        }
        Some(value)
    }

    /// Extensions whose names begin in upper case may be ignored; all others, among them those of
    /// split and sparse indexes, may not.
    fn only_optional_extensions_follow(&mut self) -> Option<()> {
        while self.at < self.content.len() {
            let name = self.take::<4>()?;
            let len = usize::try_from(self.number()?).ok()?;
            if !name[0].is_ascii_uppercase() {
                return None;
            }
            self.at = self.at.checked_add(len).filter(|&at| at <= self.content.len())?;
        }
        Some(())
    }
}
