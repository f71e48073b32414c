//! A run's id. Never makes one up: randomness comes in from outside.

use std::fmt;

use thiserror::Error;

/// Characters in a run id.
pub const RUN_ID_LEN: usize = 10;

/// RFC 4648 base32, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Identifies a run on every machine: ten base32 characters (50 random bits).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

/// The text is not a run id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a run id (ten characters from a-z and 2-7)")]
pub struct RunIdError;

impl RunId {
    /// Builds an id from random bytes; five bits of each are used.
    #[must_use]
    pub fn from_random(bytes: [u8; RUN_ID_LEN]) -> Self {
        Self(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect())
    }

    /// Parses a whole id.
    ///
    /// # Errors
    /// When the text has another length or other characters.
    pub fn parse(text: &str) -> Result<Self, RunIdError> {
        let known = |byte: u8| ALPHABET.contains(&byte);
        if text.len() == RUN_ID_LEN && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RunIdError)
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_random_bytes_parses_back() {
        let id = RunId::from_random([0, 31, 32, 255, 7, 9, 100, 200, 3, 64]);
        assert_eq!(RunId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "abc", "ABCDEFGHIJ", "abcdefghi1", "abcdefghijk", "../../etc/"] {
            assert_eq!(RunId::parse(text), Err(RunIdError), "{text}");
        }
    }
}
