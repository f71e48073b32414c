//! Byte streams in gRPC messages: cutting them into frames and reading them back.
//!
//! A manifest travels zstd-compressed; a bundle travels as it is. Never opens a connection: frames
//! come from whoever receives them.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use thiserror::Error;

use crate::wire::{FRAME_BYTES_MAX, Frame};

/// Compression of manifests. They are mostly hashes, which do not shrink: of 100,000 entries any
/// level makes half, this one in a third of level 3's time.
const MANIFEST_LEVEL: i32 = -1;

/// Room that is made for a manifest before any of it has come.
const ROOM_MAX: u64 = 16 << 20;

/// Largest decoder window, as a power of two: 8 MiB, more than any frame that we write needs.
const WINDOW_LOG_MAX: u32 = 23;

/// A compressed manifest was refused.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// It is not zstd, or it ends early.
    #[error("manifest stream is damaged")]
    Damaged(#[from] io::Error),
    /// It is larger or smaller than was announced.
    #[error("manifest is not the {announced} bytes that were announced")]
    Size {
        /// What was announced.
        announced: u64,
    },
}

/// Cuts bytes into frames.
pub fn frames(bytes: Bytes) -> impl Iterator<Item = Frame> {
    let mut offset = 0;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let data = rest.split_to(rest.len().min(FRAME_BYTES_MAX));
        let frame = Frame { offset, data };
        offset += frame.data.len() as u64;
        Some(frame)
    })
}

/// Compresses an encoded manifest for its travel.
#[must_use]
pub fn pack_manifest(encoded: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(encoded, MANIFEST_LEVEL)
        .expect("compression into a growing buffer fails only without memory")
}

/// Reads a compressed manifest of exactly the announced size.
///
/// # Errors
/// When the stream is damaged or holds another number of bytes; no more than that is kept.
pub fn unpack_manifest(packed: impl Read, announced: u64) -> Result<Vec<u8>, UnpackError> {
    let mut decoder = zstd::Decoder::new(packed)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    let mut plain = Vec::with_capacity(usize::try_from(announced.min(ROOM_MAX)).unwrap_or(0));
    decoder.take(announced.saturating_add(1)).read_to_end(&mut plain)?;
    if plain.len() as u64 == announced { Ok(plain) } else { Err(UnpackError::Size { announced }) }
}

/// Reads frames that arrive one by one as one stream of bytes.
#[derive(Debug)]
pub struct FrameReader<F> {
    next: F,
    current: Bytes,
    offset: u64,
}

impl<F: FnMut() -> io::Result<Option<Frame>>> FrameReader<F> {
    /// Reads what `next` delivers until it says that the stream has ended.
    pub const fn new(next: F) -> Self {
        Self { next, current: Bytes::new(), offset: 0 }
    }
}

impl<F: FnMut() -> io::Result<Option<Frame>>> BufRead for FrameReader<F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            let Some(frame) = (self.next)()? else { break };
            if frame.offset != self.offset {
                let (got, expected) = (frame.offset, self.offset);
                let message = format!("frame at offset {got}, expected offset {expected}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            // Or else a stream could go on for ever without ever being too long.
            if frame.data.is_empty() {
                let message = format!("frame at offset {} is empty", frame.offset);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.offset += frame.data.len() as u64;
            self.current = frame.data;
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count);
    }
}

impl<F: FnMut() -> io::Result<Option<Frame>>> Read for FrameReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_back(frames: Vec<Frame>) -> io::Result<Vec<u8>> {
        let mut frames = frames.into_iter();
        let mut bytes = Vec::new();
        FrameReader::new(|| Ok(frames.next())).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    proptest! {
        #[test]
        fn frames_read_back_as_the_same_bytes(len in 0usize..3 * FRAME_BYTES_MAX / 2) {
            let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
            let cut: Vec<Frame> = frames(Bytes::from(bytes.clone())).collect();
            prop_assert!(cut.iter().all(|frame| frame.data.len() <= FRAME_BYTES_MAX));
            prop_assert_eq!(read_back(cut).unwrap(), bytes);
        }

        #[test]
        fn manifests_survive_their_travel(plain in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let packed = pack_manifest(&plain);
            prop_assert_eq!(unpack_manifest(&*packed, plain.len() as u64).unwrap(), plain.clone());
            prop_assert!(unpack_manifest(&*packed, plain.len() as u64 + 1).is_err());
            if !plain.is_empty() {
                prop_assert!(unpack_manifest(&*packed, plain.len() as u64 - 1).is_err());
                prop_assert!(unpack_manifest(&packed[..packed.len() - 1], plain.len() as u64).is_err());
            }
        }

        #[test]
        fn unpacking_any_bytes_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            announced in 0u64..1000,
        ) {
            drop(unpack_manifest(&*bytes, announced));
        }
    }

    #[test]
    fn a_gap_between_frames_is_an_error() {
        let frame = |offset, data: &'static [u8]| Frame { offset, data: Bytes::from_static(data) };
        assert!(read_back(vec![frame(0, b"ab"), frame(3, b"cd")]).is_err());
        assert!(read_back(vec![frame(0, b"ab"), frame(2, b"cd")]).is_ok());
    }

    #[test]
    fn a_stream_cannot_go_on_without_content() {
        let empty = || Ok(Some(Frame { offset: 0, data: Bytes::new() }));
        let error = FrameReader::new(empty).read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("is empty"), "{error}");
    }
}
