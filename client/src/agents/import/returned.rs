//! A transcript that came back, as it may be here.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

use handoff_proto::manifest::Entry;

use super::ImportError;
use super::lines::{From, Line, Lines, takes_next};
use crate::pull::chunks::Chunks;

/// The laptop's own part as it was, and what the run added without what would decide something
/// here. In an unnamed file: it may be more than there is memory.
#[derive(Debug)]
pub(in crate::agents) struct Returned {
    pub(in crate::agents) file: File,
    pub(in crate::agents) len: u64,
    /// The length of the laptop's own part.
    pub(in crate::agents) own: u64,
    /// Records that were too long to be looked at, and are not here.
    pub(super) too_long: u64,
}

impl Returned {
    /// Takes in what a run returned, of which `sent` left here; `kept` says what of a line may be
    /// here. None where it does not begin with what was sent.
    pub(super) fn new(
        chunks: &Chunks,
        returned: &Entry,
        sent: Option<&Entry>,
        scratch: &Path,
        kept: impl for<'a> Fn(&'a [u8]) -> Option<Cow<'a, [u8]>>,
    ) -> Result<Option<Self>, ImportError> {
        let file = tempfile::tempfile_in(scratch).map_err(ImportError::Scratch)?;
        let mut reader = BufReader::with_capacity(64 << 10, chunks.reader(returned.chunks()));
        let mut writer = BufWriter::with_capacity(64 << 10, &file);
        let (mut len, mut part) = (0, Vec::new());
        for chunk in sent.map(Entry::chunks).unwrap_or_default() {
            if !takes_next(&mut reader, chunk, &mut part).map_err(ImportError::Content)? {
                return Ok(None);
            }
            writer.write_all(&part).map_err(ImportError::Scratch)?;
            len += u64::from(chunk.size);
        }
        let (own, mut too_long) = (len, 0);
        let mut lines = Lines::new(reader);
        while let Some(line) = lines.next().map_err(ImportError::Content)? {
            let kept = match line {
                // What has no end would take in what comes behind it.
                Line::Whole(line) if line.ends_with(b"\n") => kept(line),
                Line::Whole(_) => None,
                Line::TooLong => {
                    too_long += 1;
                    None
                }
            };
            if let Some(kept) = kept {
                writer.write_all(&kept).map_err(ImportError::Scratch)?;
                len += kept.len() as u64;
            }
        }
        writer.flush().map_err(ImportError::Scratch)?;
        drop(writer);
        Ok(Some(Self { file, len, own, too_long }))
    }

    /// One of these bytes, of which the first `own` are the laptop's.
    #[cfg(test)]
    pub(in crate::agents) fn of(content: &str, own: usize) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let (len, own) = (content.len() as u64, own as u64);
        Self { file, len, own, too_long: 0 }
    }

    /// Reads it from there on.
    pub(in crate::agents) const fn from(&self, at: u64) -> From<'_> {
        From::new(&self.file, at)
    }
}
