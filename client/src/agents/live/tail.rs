//! The last records of a transcript, the newest first: files grow large, and what matters is at
//! their end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::Value;

/// How much is read at a time, at least: a record can be larger.
const STEP: usize = 64 << 10;

/// More than this is not read for a record that says where the session stands.
const LAST_BYTES: u64 = 256 << 20;

/// Asks about the records of a file, from the last one backwards; no more is read than the answer
/// takes. A line that is no JSON is passed over: the last one may still be written.
pub(in crate::agents) fn find<T>(
    path: &Path,
    answer: impl FnOnce(&mut dyn Iterator<Item = Value>) -> Option<T>,
) -> io::Result<Option<T>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut lines = Backwards {
        file,
        floor: len.saturating_sub(LAST_BYTES),
        start: len,
        held: Vec::new(),
        searched: 0,
        failure: None,
    };
    let mut records = lines.by_ref().filter_map(|line| serde_json::from_slice(&line).ok());
    let found = answer(&mut records);
    lines.failure.map_or(Ok(found), Err)
}

/// The lines of a file, the last one first; of them no more is held than one.
struct Backwards {
    file: File,
    /// Before it nothing is read.
    floor: u64,
    /// Where what is held begins.
    start: u64,
    held: Vec<u8>,
    /// How much at the end of what is held has no end of a line in it.
    searched: usize,
    failure: Option<io::Error>,
}

impl Backwards {
    /// Reads as much again as is held already.
    fn read_more(&mut self) -> io::Result<()> {
        let left = usize::try_from(self.start - self.floor).unwrap_or(usize::MAX);
        let mut block = vec![0; self.held.len().max(STEP).min(left)];
        self.start -= block.len() as u64;
        self.file.read_exact_at(&mut block, self.start)?;
        block.append(&mut self.held);
        self.held = block;
        Ok(())
    }
}

impl Iterator for Backwards {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let unsearched = &self.held[..self.held.len() - self.searched];
            if let Some(end) = unsearched.iter().rposition(|&byte| byte == b'\n') {
                let line = self.held.split_off(end + 1);
                self.held.truncate(end);
                self.searched = 0;
                return Some(line);
            }
            self.searched = self.held.len();
            if self.start == self.floor {
                // Where nothing is before it, it is whole.
                let line = std::mem::take(&mut self.held);
                self.searched = 0;
                return Some(line).filter(|line| self.floor == 0 && !line.is_empty());
            }
            if let Err(error) = self.read_more() {
                self.failure = Some(error);
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_from_the_last_one_backwards_whatever_their_length() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(3 * STEP);
        let text = format!("[0]\n{{\"n\":1,\"x\":\"{long}\"}}\nno json\n\n[2]\n[3]\n{{\"cut");
        std::fs::write(file.path(), text).unwrap();
        let all = find(file.path(), |records| Some(records.collect::<Vec<_>>())).unwrap().unwrap();
        let numbers: Vec<u64> =
            all.iter().map(|record| record["n"].as_u64().or(record[0].as_u64()).unwrap()).collect();
        assert_eq!(numbers, [3, 2, 1, 0]);
        let first = find(file.path(), |mut records| {
            Iterator::find(&mut records, |record| record["n"] == 1)
        })
        .unwrap();
        assert_eq!(first.unwrap()["x"], long);
        std::fs::write(file.path(), "").unwrap();
        assert_eq!(find(file.path(), |records| records.next()).unwrap(), None);
    }
}
