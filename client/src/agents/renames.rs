//! Other ids for a session and what belongs to it, where a copy must not be taken for the original.
//!
//! An id is replaced by one of the same length, so that offsets into files stay true.

use std::collections::HashMap;
use std::io::{self, Read};

use uuid::Uuid;

/// The length of an id as text, and where its hyphens are.
const ID_LEN: usize = 36;
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// How much is read at a time.
const STEP: usize = 64 << 10;

/// What ids are replaced by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renames(HashMap<[u8; ID_LEN], [u8; ID_LEN]>);

impl Renames {
    /// Whether every id stays.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces one id by another; nothing where one of them is no id.
    pub(super) fn add(&mut self, from: &str, to: &str) {
        let of = |id: &str| <[u8; ID_LEN]>::try_from(id.as_bytes()).ok().filter(|_| is_id(id));
        if let (Some(from), Some(to)) = (of(from), of(to))
            && from != to
        {
            self.0.insert(from, to);
        }
    }

    /// What an id is replaced by, itself if by nothing.
    pub(super) fn id<'a>(&'a self, id: &'a str) -> &'a str {
        let known = <[u8; ID_LEN]>::try_from(id.as_bytes()).ok().and_then(|id| self.0.get(&id));
        known.and_then(|to| std::str::from_utf8(to).ok()).unwrap_or(id)
    }

    /// A short text with its ids replaced.
    pub(super) fn text(&self, text: &[u8]) -> Vec<u8> {
        let (mut text, mut place) = (text.to_vec(), 0);
        while let Some((at, to)) = self.next(&text, place) {
            text[at..at + ID_LEN].copy_from_slice(&to);
            place = at + ID_LEN;
        }
        text
    }

    /// Reads with ids replaced, also those that are read in pieces.
    pub(crate) fn reader<R: Read>(&self, inner: R) -> Renaming<'_, R> {
        Renaming { renames: self, inner, buffer: Vec::new(), given: 0, done: 0, is_over: false }
    }

    /// The first id from there on that is replaced, and by what.
    fn next(&self, text: &[u8], from: usize) -> Option<(usize, [u8; ID_LEN])> {
        if self.0.is_empty() {
            return None;
        }
        let mut at = from;
        while at + ID_LEN <= text.len() {
            let id = &text[at..at + ID_LEN];
            if HYPHENS.iter().all(|hyphen| id[*hyphen] == b'-')
                && let Some(to) = <&[u8; ID_LEN]>::try_from(id).ok().and_then(|id| self.0.get(id))
            {
                return Some((at, *to));
            }
            at += 1;
        }
        None
    }
}

/// Whether this is how agents name sessions: in one spelling alone, since they take others for the
/// same name.
pub(super) fn is_id(id: &str) -> bool {
    Uuid::parse_str(id).is_ok_and(|uuid| uuid.to_string() == id)
}

/// Reads with ids replaced.
#[derive(Debug)]
pub(crate) struct Renaming<'a, R> {
    renames: &'a Renames,
    inner: R,
    buffer: Vec<u8>,
    /// Up to where the buffer was given away, and up to where nothing more is replaced in it.
    given: usize,
    done: usize,
    is_over: bool,
}

impl<R: Read> Renaming<'_, R> {
    /// Reads on until there is something to give away, or nothing more comes.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.given);
        self.done -= self.given;
        self.given = 0;
        let len = self.buffer.len();
        self.buffer.resize(len + STEP, 0);
        let read = self.inner.read(&mut self.buffer[len..]);
        self.buffer.truncate(len + *read.as_ref().unwrap_or(&0));
        self.is_over = read? == 0;
        while let Some((at, to)) = self.renames.next(&self.buffer, self.done) {
            self.buffer[at..at + ID_LEN].copy_from_slice(&to);
            self.done = at + ID_LEN;
        }
        // What is left may be the beginning of an id.
        let keeps = if self.is_over || self.renames.0.is_empty() { 0 } else { ID_LEN - 1 };
        self.done = self.done.max(self.buffer.len().saturating_sub(keeps));
        Ok(())
    }
}

impl<R: Read> Read for Renaming<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.done && !self.is_over {
            self.fill()?;
        }
        let len = into.len().min(self.done - self.given);
        into[..len].copy_from_slice(&self.buffer[self.given..self.given + len]);
        self.given += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "01a2021d-47a1-7870-9b2a-bcb5742cd1e4";
    const TWO: &str = "01a2021d-5fde-7033-b1b2-747f1d9e3407";
    const NEW: &str = "c7ed1486-9320-4b9a-bc16-13826548c06a";

    /// Gives a few bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(into.len()).min(self.0.len());
            into[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert!(is_id(ONE));
        let others =
            [ONE.to_uppercase(), ONE.replace('-', ""), format!("{{{ONE}}}"), String::new()];
        for other in others {
            assert!(!is_id(&other), "{other}");
        }
    }

    #[test]
    fn ids_are_replaced_wherever_a_piece_ends() {
        let mut renames = Renames::default();
        renames.add(ONE, NEW);
        renames.add(TWO, ONE);
        renames.add("x", "y");
        let text = format!("{ONE}{TWO} {ONE}{} a-b {TWO}-", &ONE[..20]);
        let expected = format!("{NEW}{ONE} {NEW}{} a-b {ONE}-", &ONE[..20]);
        for step in [1, 7, 35, 36, 37, 1000] {
            let mut read = String::new();
            renames.reader(Slowly(text.as_bytes(), step)).read_to_string(&mut read).unwrap();
            assert_eq!(read, expected, "{step}");
        }
        assert_eq!(renames.text(text.as_bytes()), expected.as_bytes());
        assert_eq!((renames.id(TWO), renames.id("x")), (ONE, "x"));
    }
}
