//! How much would travel: compressed as a transfer does it, into nothing.

use std::io::{self, Write};

use handoff_proto::bundle::Writer;
use handoff_proto::chunk::{ChunkIdSet, ChunkRef};
use handoff_proto::frames::pack_manifest;
use serde::Serialize;

use crate::capture::Capture;

/// The compression that a link of some hundred megabits a second gets; a faster one gets less, a
/// slower one more.
const LEVEL: i32 = 3;

/// Up to here everything is compressed; of more only samples are, since that takes seconds.
const EXACT_BYTES_MAX: u64 = 512 << 20;

/// How much of more is compressed.
const SAMPLE_BYTES: u64 = 64 << 20;

/// What would travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sends {
    pub(super) chunks: usize,
    /// Their plain size.
    pub(super) bytes: u64,
    /// Their size in a bundle.
    pub(super) compressed_bytes: u64,
    /// Whether that was measured or estimated from samples.
    pub(super) compressed_is: Measure,
    /// The list of all entries, compressed. A remote that knows an earlier one gets less.
    pub(super) manifest_bytes: u64,
}

/// How a figure was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Measure {
    Exact,
    Estimated,
}

/// Measures these chunks of a capture, or all. Blocks.
pub(super) fn measure(capture: &Capture, wanted: Option<ChunkIdSet>) -> anyhow::Result<Sends> {
    let mut unique = ChunkIdSet::default();
    let chunks: Vec<ChunkRef> = capture
        .manifest
        .chunks()
        .filter(|chunk| wanted.as_ref().is_none_or(|wanted| wanted.contains(&chunk.id)))
        .filter(|chunk| unique.insert(chunk.id))
        .collect();
    let bytes: u64 = chunks.iter().map(|chunk| u64::from(chunk.size)).sum();
    let mut sends = Sends {
        chunks: chunks.len(),
        bytes,
        compressed_bytes: 0,
        compressed_is: Measure::Exact,
        manifest_bytes: pack_manifest(&capture.encoded).len() as u64,
    };
    if chunks.is_empty() {
        return Ok(sends);
    }
    let sampled = if bytes <= EXACT_BYTES_MAX { unique } else { sample(&chunks, bytes) };
    let of_sample = |chunk: &&ChunkRef| sampled.contains(&chunk.id);
    let sampled_bytes: u64 =
        chunks.iter().filter(of_sample).map(|chunk| u64::from(chunk.size)).sum();
    let compressed = compressed(capture, sampled)?;
    if sampled_bytes < bytes {
        sends.compressed_is = Measure::Estimated;
        let scaled = u128::from(compressed) * u128::from(bytes) / u128::from(sampled_bytes.max(1));
        sends.compressed_bytes = u64::try_from(scaled).unwrap_or(u64::MAX);
    } else {
        sends.compressed_bytes = compressed;
    }
    Ok(sends)
}

/// Chunks from everywhere, of about as many bytes as a sample shall have.
fn sample(chunks: &[ChunkRef], bytes: u64) -> ChunkIdSet {
    let step = (bytes / SAMPLE_BYTES).max(1);
    let (mut passed, mut due) = (0, 0);
    let mut sample = ChunkIdSet::default();
    for chunk in chunks {
        passed += u64::from(chunk.size);
        if passed >= due {
            sample.insert(chunk.id);
            due += step * u64::from(chunk.size);
        }
    }
    sample
}

fn compressed(capture: &Capture, wanted: ChunkIdSet) -> anyhow::Result<u64> {
    let mut writer = Writer::new(Counter::default(), LEVEL)?;
    let mut chunks = capture.chunks(wanted);
    while let Some((id, content)) = chunks.next_chunk()? {
        writer.chunk(&id, content)?;
    }
    Ok(writer.finish()?.bytes)
}

/// Counts what is written to it.
#[derive(Debug, Default)]
struct Counter {
    bytes: u64,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_and_bounded() {
        let sizes = (0..4000_u32).map(|number| 1 + (number * 7919) % (1 << 20));
        let chunks: Vec<ChunkRef> = sizes
            .map(|size| ChunkRef {
                id: handoff_proto::chunk::ChunkId::of(&size.to_le_bytes()),
                size,
            })
            .collect();
        let bytes = chunks.iter().map(|chunk| u64::from(chunk.size)).sum();
        let sample = sample(&chunks, bytes);
        let size_of = |chunk: &&ChunkRef| sample.contains(&chunk.id);
        let sampled: u64 = chunks.iter().filter(size_of).map(|chunk| u64::from(chunk.size)).sum();
        assert!((SAMPLE_BYTES / 2..2 * SAMPLE_BYTES).contains(&sampled), "{sampled}");
        assert!(sample.contains(&chunks[0].id));
        let last = &chunks[chunks.len() - 200..];
        assert!(last.iter().any(|chunk| sample.contains(&chunk.id)));
    }
}
