//! Writing a job's output: appends records up to a limit, counts and drops the rest. Never fails
//! towards the command: a full disk has the same effect as the limit.

use std::fs::File;
use std::io::{self, Write as _};

use super::{MAGIC, Position, RECORD_LEN_MAX, Stream};
use crate::supervisor::job::OutputTotals;

/// How much the last screens of output are, at least, where there is as much.
const TAIL_LEN: u64 = 64 << 10;

/// Appends the output of one job to its file.
#[derive(Debug)]
pub(in crate::supervisor) struct Writer {
    file: File,
    /// How many more bytes may be kept; none once writing has failed.
    room: u64,
    totals: OutputTotals,
    record: Vec<u8>,
    /// Two places between records, at least the length of a tail apart.
    marks: [Position; 2],
}

impl Writer {
    /// Starts an output file; it must be empty.
    pub(in crate::supervisor) fn start(mut file: File, limit_bytes: u64) -> io::Result<Self> {
        file.write_all(&MAGIC)?;
        Ok(Self::of(file, limit_bytes))
    }

    const fn of(file: File, room: u64) -> Self {
        let totals = OutputTotals { end: Position::START, kept_bytes: 0, dropped_bytes: 0 };
        Self { file, room, totals, record: Vec::new(), marks: [Position::START; 2] }
    }

    /// Appends what one stream got, as far as there is room.
    ///
    /// # Errors
    ///
    /// Fails once, when the file cannot be written; from then on everything is dropped.
    pub(in crate::supervisor) fn append(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let kept_before = self.totals.kept_bytes;
        let written = bytes[..bytes.len().min(room)]
            .chunks(RECORD_LEN_MAX)
            .try_for_each(|content| self.append_record(stream, content));
        if written.is_err() {
            // What was written of the record is a torn tail, which readers do not see.
            self.room = 0;
        }
        self.totals.dropped_bytes += bytes.len() as u64 - (self.totals.kept_bytes - kept_before);
        written
    }

    /// Tells how much there is by now.
    pub(in crate::supervisor) const fn totals(&self) -> OutputTotals {
        self.totals
    }

    /// Tells where the last screens begin: a place between records, not far before the end.
    pub(in crate::supervisor) const fn tail(&self) -> Position {
        self.marks[0]
    }

    /// Makes everything appended so far survive a crash of the machine.
    pub(in crate::supervisor) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn append_record(&mut self, stream: Stream, content: &[u8]) -> io::Result<()> {
        let [_, newer] = self.marks;
        if self.totals.end.get() - newer.get() >= TAIL_LEN {
            self.marks = [newer, self.totals.end];
        }
        let len = u32::try_from(content.len()).map_err(io::Error::other)?;
        self.record.clear();
        self.record.push(stream.number());
        self.record.extend_from_slice(&len.to_le_bytes());
        self.record.extend_from_slice(content);
        self.file.write_all(&self.record)?;
        self.room -= u64::from(len);
        self.totals.kept_bytes += u64::from(len);
        self.totals.end = self.totals.end.after(content.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limit_bytes: u64, appended: &[(Stream, &[u8])]) -> (Vec<u8>, OutputTotals) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("output");
        let file = File::create(&path).expect("create");
        let mut writer = Writer::start(file, limit_bytes).expect("start");
        for (stream, bytes) in appended {
            writer.append(*stream, bytes).expect("append");
        }
        (std::fs::read(path).expect("read"), writer.totals())
    }

    #[test]
    fn the_format_stays_as_it_is() {
        let (bytes, totals) = written(
            100,
            &[(Stream::Stdout, b"one"), (Stream::Stderr, b"two"), (Stream::Stdout, b"")],
        );
        assert_eq!(bytes, b"hoffout\x01\x01\x03\0\0\0one\x02\x03\0\0\0two");
        let end = Position::new(16);
        assert_eq!(totals, OutputTotals { end, kept_bytes: 6, dropped_bytes: 0 });
    }

    #[test]
    fn output_is_cut_at_the_limit_exactly() {
        let (bytes, totals) = written(4, &[(Stream::Stdout, b"one"), (Stream::Stderr, b"two")]);
        assert_eq!(bytes, b"hoffout\x01\x01\x03\0\0\0one\x02\x01\0\0\0t");
        let end = Position::new(14);
        assert_eq!(totals, OutputTotals { end, kept_bytes: 4, dropped_bytes: 2 });
    }

    #[test]
    fn the_tail_is_never_much_longer_than_a_few_screens() {
        let mut writer =
            Writer::start(tempfile::tempfile().expect("file"), u64::MAX).expect("start");
        for _ in 0..100 {
            writer.append(Stream::Stdout, &[b'x'; 10_000]).expect("append");
            let (end, tail) = (writer.totals().end.get(), writer.tail().get());
            assert!(
                end - tail >= end.min(TAIL_LEN) && end - tail <= 3 * TAIL_LEN,
                "{tail} of {end}"
            );
            assert_eq!(tail % 10_005, 0, "between two records");
        }
    }

    #[test]
    fn a_full_disk_is_told_once_and_then_output_is_dropped() {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let mut writer = Writer::of(full, 100);
        writer.append(Stream::Stdout, b"one").expect_err("the disk is full");
        writer.append(Stream::Stdout, b"two").expect("dropped");
        assert_eq!(writer.totals().dropped_bytes, 6);
        assert_eq!(writer.totals().end, Position::START);
    }
}
