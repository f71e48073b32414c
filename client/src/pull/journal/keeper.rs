//! Old contents of files, one after the other in one file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Appends contents and says where each begins.
#[derive(Debug)]
pub struct Keeper {
    file: BufWriter<File>,
    end: u64,
}

impl Keeper {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create_new(path)?), end: 0 })
    }

    /// Where the next content begins.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.end
    }

    /// Appends a part of the content at hand.
    ///
    /// # Errors
    ///
    /// Where the disk is full.
    pub fn append(&mut self, part: &[u8]) -> io::Result<()> {
        self.file.write_all(part)?;
        self.end += part.len() as u64;
        Ok(())
    }

    /// Hands everything to the system, which makes it durable when the record is written.
    ///
    /// # Errors
    ///
    /// Where the disk is full.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()
    }
}
