//! The decompressed side of a bundle: zstd frames one behind the other.

use std::io::{self, BufRead, Chain, Cursor, Read};
use std::mem;

use zstd::stream::read::Decoder;

use super::{WINDOW_LOG_MAX, stored};

/// Reads what the frames of a stream hold, as one.
pub(super) struct Archive<R: BufRead> {
    frame: Frame<R>,
    /// Whether anything came out of this frame.
    yielded: bool,
    /// Whether no other frame may follow.
    ends_here: bool,
}

/// Where in the stream the next bytes come from.
enum Frame<R: BufRead> {
    /// A frame that has not been looked at.
    Next(R),
    /// One whose first bytes have been looked at.
    Compressed(Decoder<'static, Chain<Cursor<Vec<u8>>, R>>),
    Stored(stored::Frame<R>),
    /// None: after the end and after an error.
    None,
}

impl<R: BufRead> Archive<R> {
    /// Nothing is read yet.
    pub(super) const fn new(input: R) -> Self {
        Self { frame: Frame::Next(input), yielded: false, ends_here: false }
    }

    /// Takes this frame for the last one.
    pub(super) const fn end_here(&mut self) {
        self.ends_here = true;
    }

    /// Whether the stream goes on behind the last frame, with whatever it may be.
    pub(super) fn goes_on(self) -> io::Result<bool> {
        self.frame.finish().map_or(Ok(false), |mut input| Ok(!input.fill_buf()?.is_empty()))
    }

    /// Appends this many bytes, or what there is where the stream ends before.
    pub(super) fn append(&mut self, content: &mut Vec<u8>, count: usize) -> io::Result<()> {
        let end = content.len() + count;
        while content.len() < end {
            let left = end - content.len();
            let more = self.take_from_frame(|frame| match frame {
                Frame::Stored(frame) => frame.append(content, left),
                Frame::Compressed(frame) => frame.take(left as u64).read_to_end(content),
                Frame::Next(_) | Frame::None => Ok(0),
            })?;
            if more.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes bytes from a frame that has some left; none at the end of the stream.
    fn take_from_frame(
        &mut self,
        mut take: impl FnMut(&mut Frame<R>) -> io::Result<usize>,
    ) -> io::Result<Option<usize>> {
        loop {
            self.enter()?;
            match take(&mut self.frame)? {
                0 if self.ends_here || matches!(self.frame, Frame::None) => return Ok(None),
                0 => self.leave()?,
                count => {
                    self.yielded = true;
                    return Ok(Some(count));
                }
            }
        }
    }

    fn enter(&mut self) -> io::Result<()> {
        if matches!(self.frame, Frame::Next(_)) {
            self.frame = mem::replace(&mut self.frame, Frame::None).begin()?;
            self.yielded = false;
        }
        Ok(())
    }

    /// Goes on behind a frame that has nothing left.
    fn leave(&mut self) -> io::Result<()> {
        if !self.yielded {
            // zstd would skip frames without content for ever.
            let message = "a compressed frame without content";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let left = mem::replace(&mut self.frame, Frame::None);
        if let Some(mut input) = left.finish()
            && !input.fill_buf()?.is_empty()
        {
            self.frame = Frame::Next(input);
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.take_from_frame(|frame| match frame {
            Frame::Stored(frame) => frame.read(buffer),
            Frame::Compressed(frame) => frame.read(buffer),
            Frame::Next(_) | Frame::None => Ok(0),
        })?;
        Ok(count.unwrap_or(0))
    }
}

impl<R: BufRead> Frame<R> {
    fn begin(self) -> io::Result<Self> {
        let Self::Next(mut input) = self else { return Ok(self) };
        let mut first = Vec::with_capacity(stored::MARK.len());
        input.by_ref().take(stored::MARK.len() as u64).read_to_end(&mut first)?;
        if first == stored::MARK {
            return stored::Frame::begin(input).map(Self::Stored);
        }
        let mut frame = Decoder::with_buffer(Cursor::new(first).chain(input))?.single_frame();
        frame.window_log_max(WINDOW_LOG_MAX)?;
        Ok(Self::Compressed(frame))
    }

    /// What follows this frame, which has nothing left.
    fn finish(self) -> Option<R> {
        match self {
            Self::Next(input) => Some(input),
            // No frame is as short as what was looked at.
            Self::Compressed(frame) => Some(frame.finish().into_inner().1),
            Self::Stored(frame) => Some(frame.finish()),
            Self::None => None,
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
        Archive::new(stream).read_to_end(&mut content)?;
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
        let mut archive = Archive::new(&*stream);
        archive.end_here();
        let mut content = Vec::new();
        archive.read_to_end(&mut content).expect("read");
        assert_eq!(content, b"one");
        assert!(archive.goes_on().expect("look"));
    }
}
