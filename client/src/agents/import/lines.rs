//! The lines of a transcript, one at a time: all of them together may be more than there is memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;

use handoff_proto::chunk::{ChunkId, ChunkRef};

/// The longest record that is looked at, in bytes: agents put whole files into one.
pub(super) const LINE_LEN_MAX: usize = 64 << 20;

/// The longest first record that is looked at, in bytes: it holds the agent's own instructions.
const FIRST_RECORD_MAX: u64 = 4 << 20;

/// How many values a record holds at most: each takes memory beside its text.
const VALUES_MAX: usize = 1 << 19;

/// Reads a file from a place of its own on.
#[derive(Debug)]
pub(in crate::agents) struct From<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> From<'a> {
    /// Reads from that place on.
    pub(in crate::agents) const fn new(file: &'a File, at: u64) -> Self {
        Self { file, at }
    }
}

impl Read for From<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(into, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::agents) enum Line<'a> {
    /// With its end, if it has one.
    Whole(&'a [u8]),
    /// Longer than any record, or of more values.
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub(in crate::agents) struct Lines<R> {
    inner: R,
    line: Vec<u8>,
    read: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads from there on.
    pub(in crate::agents) const fn new(inner: R) -> Self {
        Self { inner, line: Vec::new(), read: 0 }
    }

    /// How many bytes the lines had so far.
    pub(in crate::agents) const fn read(&self) -> u64 {
        self.read
    }

    /// The next line; none at the end.
    pub(in crate::agents) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let limit = LINE_LEN_MAX as u64;
        self.read += (&mut self.inner).take(limit).read_until(b'\n', &mut self.line)? as u64;
        if self.line.is_empty() {
            return Ok(None);
        }
        if self.line.len() < LINE_LEN_MAX || self.line.ends_with(b"\n") {
            let is_record = values(&self.line) <= VALUES_MAX;
            return Ok(Some(if is_record { Line::Whole(&self.line) } else { Line::TooLong }));
        }
        // It is as large as the largest ones: nothing keeps that.
        self.line = Vec::new();
        self.read += self.inner.skip_until(b'\n')? as u64;
        Ok(Some(Line::TooLong))
    }
}

/// The first line of a transcript with its end; a longer one is cut off.
pub(in crate::agents) fn first_line(transcript: impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(transcript.take(FIRST_RECORD_MAX)).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Reads a chunk into `content`; returns whether what came was that chunk.
pub(super) fn takes_next(
    reader: &mut impl Read,
    chunk: &ChunkRef,
    content: &mut Vec<u8>,
) -> io::Result<bool> {
    content.resize(chunk.size as usize, 0);
    match reader.read_exact(content) {
        Ok(()) => Ok(ChunkId::of(content) == chunk.id),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// About how many values a line of JSON holds, at least as many as there are.
fn values(line: &[u8]) -> usize {
    // Each has a byte of its own.
    if line.len() <= VALUES_MAX {
        return line.len();
    }
    let (mut values, mut in_text, mut is_escaped) = (1, false, false);
    for byte in line {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' | b',' | b':' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

/// How many bytes two contents have in common at their beginning.
pub(super) fn common<E>(
    mut one: impl Read,
    mut other: impl Read,
    of_one: impl Fn(io::Error) -> E,
    of_other: impl Fn(io::Error) -> E,
) -> Result<u64, E> {
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut common = 0;
    loop {
        let in_a = fill(&mut one, &mut a).map_err(&of_one)?;
        let in_b = fill(&mut other, &mut b).map_err(&of_other)?;
        let least = in_a.min(in_b);
        let same = a[..least].iter().zip(&b[..least]).take_while(|(a, b)| a == b).count();
        common += same as u64;
        if same < least || least < a.len() {
            return Ok(common);
        }
    }
}

/// Reads until the buffer is full or nothing more comes.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match reader.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_longer_than_any_is_passed_over() {
        let long = vec![b'x'; LINE_LEN_MAX + 5];
        let text = [b"one\n", &long[..], b"\ntwo\n", b"rest"].concat();
        let mut lines = Lines::new(&text[..]);
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"one\n")));
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.read(), (4 + long.len() + 1) as u64);
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"two\n")));
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"rest")));
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn a_record_of_more_values_than_any_is_passed_over_and_a_long_text_is_not() {
        let many = ",0".repeat(VALUES_MAX);
        for (line, is_record) in [
            (format!("[0{many}]\n"), false),
            (format!("[\"\\\"{many}\"]\n"), true),
            (format!("[\"\\\\\"{many}]\n"), false),
            (format!("{}\n", "{\"a\":".repeat(VALUES_MAX)), false),
        ] {
            let mut lines = Lines::new(line.as_bytes());
            let read = lines.next().unwrap().unwrap();
            assert_eq!(read != Line::TooLong, is_record, "{}", &line[..10]);
            assert_eq!((lines.read(), lines.next().unwrap()), (line.len() as u64, None));
        }
    }

    #[test]
    fn what_two_contents_have_in_common_is_counted() {
        let of = |a: &[u8], b: &[u8]| common(a, b, |e| e, |e| e).unwrap();
        let long = vec![7; 200_000];
        assert_eq!((of(b"", b"x"), of(b"ab", b"ac"), of(b"ab", b"abc")), (0, 1, 2));
        assert_eq!(of(&long, &[&long[..], b"x"].concat()), 200_000);
        assert_eq!(of(&long, &[&long[..131_072], b"x"].concat()), 131_072);
    }
}
