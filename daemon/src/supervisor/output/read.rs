//! Reading a job's output, also while it is being written. Never changes the file, never waits for
//! more to come and holds one batch at most.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{MAGIC, Position, RECORD_HEADER_LEN, RECORD_LEN_MAX, Stream};
use crate::supervisor::job_dir;

/// How much is read from the file at a time; has room for one record of any length.
const BATCH_LEN: usize = 256 * 1024;

/// Holds what one stream got in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which stream.
    pub stream: Stream,
    /// What was written to it; never empty, never longer than [`RECORD_LEN_MAX`].
    pub bytes: Vec<u8>,
    /// Where to go on reading.
    pub next: Position,
}

/// Reads a job's output from some position on.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: Option<Arc<File>>,
    /// Read from the file and not handed out yet.
    ahead: VecDeque<Record>,
    position: Position,
}

/// Says why output cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("read output {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is no output file of a version that this one knows.
    #[error("{path} is not output of a known version")]
    Format {
        /// Which file.
        path: PathBuf,
    },
    /// There is no record at that position.
    #[error("no output record starts at position {position}", position = position.get())]
    Misplaced {
        /// Which position.
        position: Position,
    },
}

impl Reader {
    /// Starts to read the output of a job from a position. Needs no output to exist yet.
    #[must_use]
    pub fn new(job_dir: &Path, from: Position) -> Self {
        let path = job_dir.join(job_dir::OUTPUT);
        Self { path, file: None, ahead: VecDeque::new(), position: from }
    }

    /// Returns the place up to which records were handed out.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Returns the next record, or none at the present end. Small neighbours of the same stream
    /// come as one record. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or the position is not one that a record ended at.
    pub async fn next(&mut self) -> Result<Option<Record>, ReadError> {
        if self.ahead.is_empty() {
            self.read_ahead().await?;
        }
        let record = self.ahead.pop_front();
        if let Some(record) = &record {
            self.position = record.next;
        }
        Ok(record)
    }

    async fn read_ahead(&mut self) -> Result<(), ReadError> {
        let (path, file, from) = (self.path.clone(), self.file.clone(), self.position);
        let read = move || {
            let Some(file) = file.map_or_else(|| open(&path), |file| Ok(Some(file)))? else {
                return Ok((None, VecDeque::new()));
            };
            let bytes = read_at(&file, from).map_err(|source| ReadError::Io { path, source })?;
            Ok((Some(file), parse(&bytes, from)?))
        };
        (self.file, self.ahead) = match tokio::task::spawn_blocking(read).await {
            Ok(read) => read?,
            Err(stopped) => {
                let source = io::Error::other(stopped);
                return Err(ReadError::Io { path: self.path.clone(), source });
            }
        };
        Ok(())
    }
}

/// Opens the file once there is one with a header.
fn open(path: &Path) -> Result<Option<Arc<File>>, ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut magic = [0; MAGIC.len()];
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) if magic == MAGIC => Ok(Some(Arc::new(file))),
        Ok(()) => Err(ReadError::Format { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn read_at(file: &File, from: Position) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; BATCH_LEN];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from.file_offset().saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Takes whole records off the front and leaves the rest for later.
fn parse(mut bytes: &[u8], from: Position) -> Result<VecDeque<Record>, ReadError> {
    let mut records: VecDeque<Record> = VecDeque::new();
    let mut position = from;
    while let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER_LEN>() {
        let [number, length @ ..] = *header;
        // A file that grew by a block of zeros just before the machine went down.
        if *header == [0; RECORD_HEADER_LEN] {
            break;
        }
        let misplaced = ReadError::Misplaced { position };
        let (Some(stream), Ok(len)) =
            (Stream::from_number(number), usize::try_from(u32::from_le_bytes(length)))
        else {
            return Err(misplaced);
        };
        if len == 0 || len > RECORD_LEN_MAX {
            return Err(misplaced);
        }
        let Some((content, rest)) = rest.split_at_checked(len) else { break };
        position = position.after(len);
        bytes = rest;
        match records.back_mut() {
            Some(last) if last.stream == stream && last.bytes.len() + len <= RECORD_LEN_MAX => {
                last.bytes.extend_from_slice(content);
                last.next = position;
            }
            _ => records.push_back(Record { stream, bytes: content.to_vec(), next: position }),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const GOLDEN: &[u8] = b"\x01\x03\0\0\0one\x02\x03\0\0\0two\x02\x05\0\0\0three";

    fn record(stream: Stream, bytes: &[u8], next: u64) -> Record {
        Record { stream, bytes: bytes.to_vec(), next: Position::new(next) }
    }

    #[test]
    fn records_come_back_with_neighbours_joined() {
        let records = parse(GOLDEN, Position::START).expect("parse");
        let expected = [record(Stream::Stdout, b"one", 8), record(Stream::Stderr, b"twothree", 26)];
        assert_eq!(records, expected);
    }

    #[test]
    fn a_torn_tail_is_not_there_wherever_it_is_cut() {
        for cut in 0..GOLDEN.len() {
            let records = parse(&GOLDEN[..cut], Position::START).expect("parse");
            let end = records.back().map_or(0, |record| record.next.get());
            let whole = [0, 8, 16].into_iter().rev().find(|end| *end <= cut as u64);
            assert_eq!(Some(end), whole, "cut at {cut}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_not_there() {
        let mut bytes = GOLDEN.to_vec();
        bytes.extend([0; 4096]);
        assert_eq!(parse(&bytes, Position::START).expect("parse").len(), 2);
    }

    #[test]
    fn a_position_inside_a_record_is_an_error() {
        let error = parse(&GOLDEN[5..], Position::new(5)).expect_err("no record starts there");
        assert!(matches!(error, ReadError::Misplaced { position } if position.get() == 5));
        let long = [1, 1, 0, 1, 0, 0];
        parse(&long, Position::START).expect_err("longer than any record");
    }

    proptest! {
        #[test]
        fn mutated_records_are_never_more_than_the_file_holds(
            edits in vec((any::<bool>(), 0..GOLDEN.len() + RECORD_HEADER_LEN, any::<u8>()), 0..5),
            cut in 0..GOLDEN.len(),
            from: u64,
        ) {
            let mut bytes = [GOLDEN, &[1, 0, 0, 1, 0], &[b'x'; RECORD_LEN_MAX], GOLDEN].concat();
            for (at_end, at, byte) in edits {
                let at = if at_end { bytes.len() - 1 - at } else { at };
                bytes[at] = byte;
            }
            bytes.truncate(bytes.len() - cut);
            if let Ok(records) = parse(&bytes, Position::new(from)) {
                let mut held = 0;
                let mut position = from;
                for record in records {
                    prop_assert!((1..=RECORD_LEN_MAX).contains(&record.bytes.len()));
                    prop_assert!(record.next.get() >= position);
                    position = record.next.get();
                    held += RECORD_HEADER_LEN + record.bytes.len();
                }
                prop_assert!(held <= bytes.len());
                prop_assert!(position - from <= bytes.len() as u64);
            }
        }
    }
}
