//! The decompressed side of a bundle: zstd frames one behind the other.

use std::io::{self, BufRead, Read};

use zstd::stream::read::Decoder;

use super::WINDOW_LOG_MAX;

/// Reads what the frames of a stream hold, as one.
pub(super) struct Archive<R: BufRead> {
    /// None after the end and after an error.
    frame: Option<Decoder<'static, R>>,
    /// Whether anything came out of this frame.
    yielded: bool,
    /// Whether another frame may follow.
    ends_here: bool,
}

impl<R: BufRead> Archive<R> {
    /// Sets the decompressor up; nothing is read yet.
    pub(super) fn new(input: R) -> io::Result<Self> {
        Ok(Self { frame: Some(begin(input)?), yielded: false, ends_here: false })
    }

    /// Takes this frame for the last one.
    pub(super) fn end_here(&mut self) {
        self.ends_here = true;
    }

    /// Whether the stream goes on behind the last frame, with whatever it may be.
    pub(super) fn goes_on(self) -> io::Result<bool> {
        match self.frame {
            Some(frame) => Ok(!frame.finish().fill_buf()?.is_empty()),
            None => Ok(false),
        }
    }
}

fn begin<R: BufRead>(input: R) -> io::Result<Decoder<'static, R>> {
    let mut frame = Decoder::with_buffer(input)?.single_frame();
    frame.window_log_max(WINDOW_LOG_MAX)?;
    Ok(frame)
}

impl<R: BufRead> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(frame) = &mut self.frame else { return Ok(0) };
            let count = frame.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                self.yielded = true;
                return Ok(count);
            }
            if self.ends_here {
                return Ok(0);
            }
            if !self.yielded {
                // zstd would skip frames without content for ever.
                let message = "a compressed frame without content";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            let mut input = match self.frame.take() {
                Some(frame) => frame.finish(),
                None => return Ok(0),
            };
            if input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            (self.frame, self.yielded) = (Some(begin(input)?), false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(content: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(content, 1).expect("compress")
    }

    fn read(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Archive::new(stream)?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn frames_are_read_as_one() {
        let stream = [frame(b"one "), frame(b"two "), frame(&[b'x'; 1 << 20])].concat();
        let content = read(&stream).expect("read");
        assert!(content.starts_with(b"one two xxx"));
        assert_eq!(content.len(), 8 + (1 << 20));
        assert!(read(&stream[..stream.len() - 1]).is_err(), "cut off");
    }

    #[test]
    fn what_is_no_frame_or_an_empty_one_is_refused() {
        let skippable =
            [&0x184D_2A50_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), b"skip"].concat();
        for extra in [b"xxxxxxxx".to_vec(), frame(b""), skippable] {
            assert!(read(&[frame(b"one"), extra, frame(b"two")].concat()).is_err());
        }
    }

    #[test]
    fn the_last_frame_is_the_last() {
        let stream = [frame(b"one"), frame(b"two")].concat();
        let mut archive = Archive::new(&*stream).expect("archive");
        archive.end_here();
        let mut content = Vec::new();
        archive.read_to_end(&mut content).expect("read");
        assert_eq!(content, b"one");
        assert!(archive.goes_on().expect("look"));
    }
}
