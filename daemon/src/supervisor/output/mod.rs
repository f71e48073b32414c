//! A job's output on disk: what both sides agree on byte for byte. Knows nothing of jobs.
//!
//! ```text
//! file    "hoffout" version      8 bytes; the version is one byte
//! record  stream length bytes    1 byte (1 stdout, 2 stderr), 4 bytes little endian, then those
//! ```
//!
//! Records are appended in order of arrival and never changed. The file may end anywhere: a record
//! that is not whole yet, or never became whole because the machine went down, is not there.

mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use self::read::{ReadError, Reader, Record};
pub(super) use self::write::Writer;

/// What every output file starts with; the last byte is the version of the format.
const MAGIC: [u8; 8] = *b"hoffout\x01";

/// How many bytes precede the bytes of a record.
const RECORD_HEADER_LEN: usize = 5;

/// Longest content of one record: what a pipe holds by default.
pub const RECORD_LEN_MAX: usize = 64 * 1024;

/// Tells which stream bytes were written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Returns the stream's number, in files and on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// A place between two records; 0 is before the first one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// The place before the first record.
    pub const START: Self = Self(0);

    /// Makes a position of a number that [`Position::get`] returned.
    #[must_use]
    pub const fn new(position: u64) -> Self {
        Self(position)
    }

    /// Returns the position as a number that only grows along the file.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Tells whether it is the place before the first record.
    pub(super) const fn is_start(&self) -> bool {
        self.0 == 0
    }

    const fn after(self, len: usize) -> Self {
        Self(self.0.saturating_add((RECORD_HEADER_LEN + len) as u64))
    }

    const fn file_offset(self) -> u64 {
        self.0.saturating_add(MAGIC.len() as u64)
    }
}
