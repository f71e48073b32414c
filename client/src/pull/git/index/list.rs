//! Reads git's listing of an index.

use handoff_proto::manifest::{IndexEntry, IndexFlags, Oid};
use handoff_proto::path::TreePath;

/// The words that make git print what [`parse`] reads.
pub(super) const WORDS: [&str; 4] = ["ls-files", "--stage", "--debug", "-z"];

/// Bits of git's in-memory entries, as `ls-files --debug` prints them.
const FLAGS: [(u32, IndexFlags); 3] = [
    (0x8000, IndexFlags::ASSUME_UNCHANGED),
    (0x4000_0000, IndexFlags::SKIP_WORKTREE),
    (0x2000_0000, IndexFlags::INTENT_TO_ADD),
];

/// Parses `ls-files --stage --debug -z`: a record, a NUL, then five lines about its stat data.
pub(super) fn parse(mut listed: &[u8]) -> Option<Vec<IndexEntry>> {
    let mut entries = Vec::new();
    while !listed.is_empty() {
        let (record, rest) = split_at_byte(listed, 0)?;
        let mut rest = rest;
        let mut last: &[u8] = b"";
        for _ in 0..5 {
            (last, rest) = split_at_byte(rest, b'\n')?;
        }
        entries.push(parse_record(record, last)?);
        listed = rest;
    }
    Some(entries)
}

fn parse_record(record: &[u8], debug: &[u8]) -> Option<IndexEntry> {
    let (head, path) = split_at_byte(record, b'\t')?;
    let mut words = std::str::from_utf8(head).ok()?.split(' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let oid = Oid::parse(words.next()?.as_bytes()).ok()?;
    let stage = words.next()?.parse().ok()?;
    let bits = std::str::from_utf8(debug).ok()?.rsplit("flags: ").next()?;
    let bits = u32::from_str_radix(bits, 16).ok()?;
    let flags = FLAGS
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .fold(IndexFlags::NONE, |flags, (_, flag)| flags.with(*flag));
    Some(IndexEntry { path: TreePath::parse(path).ok()?, mode, oid, stage, flags })
}

fn split_at_byte(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&found| found == byte)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}
