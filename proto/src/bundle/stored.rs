//! Content that is not worth compressing, as frames of zstd that hold it as it is.
//!
//! Every decompressor reads them (RFC 8878, sections 3.1.1.1 and 3.1.1.2: frames of raw blocks), but
//! here they are copied once instead of three times. What tells them from all others is an explicit
//! dictionary id of 0, which compressors leave out: no dictionary is named, and raw blocks need none.

use std::io::{self, BufRead, Write};

/// zstd's magic number, and a descriptor that announces in the frame's header: no window, as the
/// whole content is one; no checksum; a dictionary id of one byte; a content size of four. Then
/// that id.
pub(super) const MARK: [u8; 6] = [0x28, 0xB5, 0x2F, 0xFD, 0b1010_0001, 0];

/// The most that a frame holds here: within every window.
const FRAME_SIZE_MAX: usize = 1024 * 1024;

/// The most that a block may hold.
const BLOCK_SIZE_MAX: usize = 128 * 1024;

/// In a block's header: no other follows.
const LAST: u32 = 1;

/// Writes these bytes, in as many frames as they need.
pub(super) fn write(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for frame in bytes.chunks(FRAME_SIZE_MAX) {
        output.write_all(&MARK)?;
        output.write_all(&number(frame.len())?.to_le_bytes())?;
        let mut blocks = frame.chunks(BLOCK_SIZE_MAX).peekable();
        while let Some(block) = blocks.next() {
            let last = if blocks.peek().is_none() { LAST } else { 0 };
            // Bits 1 and 2 are the kind: 0, raw.
            let header = (number(block.len())? << 3) | last;
            output.write_all(&header.to_le_bytes()[..3])?;
            output.write_all(block)?;
        }
    }
    Ok(())
}

fn number(size: usize) -> io::Result<u32> {
    u32::try_from(size).map_err(|_large| io::ErrorKind::InvalidInput.into())
}

/// Reads one frame behind its mark.
pub(super) struct Frame<R> {
    input: R,
    /// Bytes of the frame that no block has announced yet.
    left: u32,
    /// Bytes of the block that were not read.
    of_block: usize,
    is_last: bool,
}

impl<R: BufRead> Frame<R> {
    pub(super) fn begin(mut input: R) -> io::Result<Self> {
        let mut size = [0; 4];
        input.read_exact(&mut size)?;
        Ok(Self { input, left: u32::from_le_bytes(size), of_block: 0, is_last: false })
    }

    /// Reads what comes next, as much as is at hand; 0 bytes at the frame's end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }

    /// The same at the end of what there is; at most so many bytes.
    pub(super) fn append(&mut self, content: &mut Vec<u8>, count_max: usize) -> io::Result<usize> {
        let bytes = self.fill()?;
        let count = bytes.len().min(count_max);
        content.extend_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }

    fn fill(&mut self) -> io::Result<&[u8]> {
        if self.of_block == 0 {
            if self.is_last {
                return if self.left == 0 {
                    Ok(&[])
                } else {
                    Err(invalid("is shorter than it says"))
                };
            }
            self.block()?;
        }
        let bytes = self.input.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(&bytes[..bytes.len().min(self.of_block)])
    }

    fn consume(&mut self, count: usize) {
        self.of_block -= count;
        self.input.consume(count);
    }

    pub(super) fn finish(self) -> R {
        self.input
    }

    fn block(&mut self) -> io::Result<()> {
        let mut header = [0; 4];
        self.input.read_exact(&mut header[..3])?;
        let header = u32::from_le_bytes(header);
        let (size, kind) = (header >> 3, (header >> 1) & 3);
        if kind != 0 {
            return Err(invalid("holds a block that is not raw"));
        }
        if size == 0 || size as usize > BLOCK_SIZE_MAX {
            return Err(invalid("holds a block of an impossible size"));
        }
        let left = self.left.checked_sub(size);
        self.left = left.ok_or_else(|| invalid("is longer than it says"))?;
        (self.of_block, self.is_last) = (size as usize, header & LAST != 0);
        Ok(())
    }
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a stored frame {problem}"))
}

#[cfg(test)]
mod tests {
    use super::super::archive::Archive;
    use super::*;
    use std::io::{BufReader, Read as _};

    fn stored(content: &[u8]) -> Vec<u8> {
        let mut stream = Vec::new();
        write(&mut stream, content).expect("write");
        stream
    }

    fn read(stream: impl BufRead) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Archive::new(stream).read_to_end(&mut content)?;
        Ok(content)
    }

    /// A frame that announces `size` bytes, with blocks of these kinds and sizes.
    fn frame(size: u32, blocks: &[(u32, u32)]) -> Vec<u8> {
        let mut frame = [&MARK[..], &size.to_le_bytes()].concat();
        for (number, &(kind, size)) in blocks.iter().enumerate() {
            let last = u32::from(number + 1 == blocks.len());
            frame.extend(&(size << 3 | kind << 1 | last).to_le_bytes()[..3]);
            frame.resize(frame.len() + size as usize, b'x');
        }
        frame
    }

    #[test]
    fn every_decompressor_reads_what_is_stored() {
        for size in [1, BLOCK_SIZE_MAX, BLOCK_SIZE_MAX + 1, FRAME_SIZE_MAX, 5 * FRAME_SIZE_MAX / 2]
        {
            let content: Vec<u8> = (0..=250).cycle().take(size).collect();
            let stream = stored(&content);
            assert!(stream.len() < size + size / 1000 + 20, "{} for {size}", stream.len());
            assert!(zstd::decode_all(&*stream).expect("zstd") == content, "{size}");
            assert!(read(&*stream).expect("read") == content, "{size}");
            // However it arrives.
            let pieces = BufReader::with_capacity(7, &*stream);
            assert!(read(pieces).expect("read") == content, "{size}");
            let (mut appended, count) = (b"before".to_vec(), size / 2);
            Archive::new(&*stream).append(&mut appended, count).expect("append");
            assert!(appended[6..] == content[..count], "{size}");
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let stream = stored(&[b'x'; 300]);
        for len in 1..stream.len() {
            assert!(read(&stream[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn frames_that_nobody_writes_are_refused() {
        assert_eq!(read(&*frame(8, &[(0, 5), (0, 3)])).expect("read"), b"xxxxxxxx");
        let too_large = number(BLOCK_SIZE_MAX + 1).expect("small");
        for (frame, message) in [
            (frame(5, &[(1, 5)]), "a block that is not raw"),
            (frame(5, &[(2, 5)]), "a block that is not raw"),
            (frame(5, &[(0, 5), (3, 0)]), "a block that is not raw"),
            (frame(5, &[(0, 0), (0, 5)]), "an impossible size"),
            (frame(0, &[(0, 0)]), "an impossible size"),
            (frame(too_large, &[(0, too_large)]), "an impossible size"),
            (frame(5, &[(0, 6)]), "longer than it says"),
            (frame(5, &[(0, 4), (0, 2)]), "longer than it says"),
            (frame(5, &[(0, 4)]), "shorter than it says"),
        ] {
            let error = read(&*frame).expect_err(message);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(message), "{error}: {message}");
        }
    }
}
