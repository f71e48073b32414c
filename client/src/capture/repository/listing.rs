//! Reads git's listing of an index: what is tracked, and what is staged for the next commit.

use handoff_proto::manifest::{IndexEntry, IndexFlags, Oid};
use handoff_proto::path::TreePath;

/// The arguments of git whose answer [`parse`] reads.
pub(super) const LIST: [&str; 4] = ["ls-files", "--stage", "--debug", "-z"];

/// Lines about stat data after each record.
const DEBUG_LINES: usize = 5;

/// Bits of git's entries in memory.
const FLAGS: [(u32, IndexFlags); 3] = [
    (0x8000, IndexFlags::ASSUME_UNCHANGED),
    (0x4000_0000, IndexFlags::SKIP_WORKTREE),
    (0x2000_0000, IndexFlags::INTENT_TO_ADD),
];

/// Parses the listing; `None` if it is none.
pub(super) fn parse(mut listing: &[u8]) -> Option<Vec<IndexEntry>> {
    let mut entries = Vec::new();
    while !listing.is_empty() {
        let record = take_until(&mut listing, 0)?;
        let mut last: &[u8] = &[];
        for _ in 0..DEBUG_LINES {
            last = take_until(&mut listing, b'\n')?;
        }
        entries.push(parse_record(record, last)?);
    }
    Some(entries)
}

/// `MODE OID STAGE<tab>PATH`, and `  size: 1\tflags: 0`.
fn parse_record(record: &[u8], last_line: &[u8]) -> Option<IndexEntry> {
    let tab = record.iter().position(|&byte| byte == b'\t')?;
    let (words, path) = (&record[..tab], &record[tab + 1..]);
    let mut words = std::str::from_utf8(words).ok()?.split(' ');
    let (_, flags) = std::str::from_utf8(last_line).ok()?.rsplit_once("flags: ")?;
    Some(IndexEntry {
        mode: u32::from_str_radix(words.next()?, 8).ok()?,
        oid: Oid::parse(words.next()?.as_bytes()).ok()?,
        stage: words.next()?.parse().ok()?,
        path: TreePath::parse(path).ok()?,
        flags: parse_flags(u32::from_str_radix(flags.trim(), 16).ok()?),
    })
}

fn parse_flags(bits: u32) -> IndexFlags {
    FLAGS
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .fold(IndexFlags::NONE, |flags, (_, flag)| flags.with(*flag))
}

fn take_until<'a>(bytes: &mut &'a [u8], end: u8) -> Option<&'a [u8]> {
    let at = bytes.iter().position(|&byte| byte == end)?;
    let taken = &bytes[..at];
    *bytes = &bytes[at + 1..];
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_its_flags() {
        let oid = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let debug = "  ctime: 0:0\n  mtime: 0:0\n  dev: 0\tino: 0\n  uid: 0\tgid: 0\n  size: 0\tflags: 60008000\n";
        let listing = format!(
            "100644 {oid} 0\ta\tb\nc\0{debug}100755 {oid} 2\tx\0{}",
            debug.replace("60008000", "0")
        );
        let entries = parse(listing.as_bytes()).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].path.as_bytes(), b"a\tb\nc");
        assert_eq!(entries[0].flags.bits(), 7);
        assert_eq!((entries[1].mode, entries[1].stage, entries[1].flags.bits()), (0o100_755, 2, 0));
        assert_eq!(parse(&listing.as_bytes()[..listing.len() - 1]), None);
    }
}
