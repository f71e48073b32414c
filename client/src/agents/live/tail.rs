//! The last records of a transcript, the newest first: files grow large, and what matters is at
//! their end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// How much is read at first; a record can be larger, so that more may be needed.
const FIRST_BYTES: u64 = 256 << 10;

/// More than this is not read for a record that says where the session stands.
const LAST_BYTES: u64 = 256 << 20;

/// Asks about the records of a file from the last one backwards until there is an answer. A line
/// that is no JSON is passed over: the last one may still be written.
pub(in crate::agents) fn find<T>(
    path: &Path,
    answer: impl Fn(&mut dyn Iterator<Item = Value>) -> Option<T>,
) -> io::Result<Option<T>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut wanted = FIRST_BYTES;
    loop {
        let start = len.saturating_sub(wanted);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&file).take(len - start).read_to_end(&mut bytes)?;
        let whole = match start {
            0 => &bytes[..],
            _ => bytes.iter().position(|&byte| byte == b'\n').map_or(&[][..], |at| &bytes[at..]),
        };
        let mut records = whole
            .split(|&byte| byte == b'\n')
            .rev()
            .filter_map(|line| serde_json::from_slice(line).ok());
        let found = answer(&mut records);
        if found.is_some() || start == 0 || wanted >= LAST_BYTES {
            return Ok(found);
        }
        wanted = (wanted * 16).min(LAST_BYTES);
    }
}
