//! What the command reads: pieces that attached daemons sent, each written once, in the order in
//! which they came. Pieces that come before the command has started wait for it. Never waits.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};

use rustix::event::{PollFd, PollFlags};

use super::complain;

/// The command's standard input, as far as it is known by now.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// The names of the pieces that came, in order.
    taken: Vec<String>,
    waiting: VecDeque<u8>,
    /// Whether nothing follows what waits.
    ended: bool,
    /// Our end: none before the command runs, nor once it does not read any more.
    pipe: Option<File>,
}

impl Input {
    /// Takes a piece, unless one of this name came before.
    pub(super) fn take(&mut self, id: String, bytes: &[u8]) {
        if self.ended || self.taken.contains(&id) {
            return;
        }
        self.taken.push(id);
        self.waiting.extend(bytes);
        self.write();
    }

    /// Lets the command find the end of its input behind what waits.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.write();
    }

    /// The names of the pieces that came.
    pub(super) fn taken(&self) -> Vec<String> {
        self.taken.clone()
    }

    /// Gives what waits to the command, which has just been started; our end must not block.
    pub(super) fn connect(&mut self, pipe: File) {
        self.pipe = Some(pipe);
        self.write();
    }

    /// What to poll before [`write`](Self::write), as long as something waits.
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        let pipe = self.pipe.as_ref().filter(|_| !self.waiting.is_empty())?;
        Some(PollFd::new(pipe, PollFlags::OUT))
    }

    /// Writes as much as the command takes now.
    pub(super) fn write(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        while !self.waiting.is_empty() {
            match pipe.write(self.waiting.as_slices().0) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Whether a command reads all that it is told is its own business.
                    if error.kind() != io::ErrorKind::BrokenPipe {
                        complain("write the command's input", &error);
                    }
                    self.waiting.clear();
                    self.pipe = None;
                    return;
                }
            }
        }
        if self.ended {
            self.pipe = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    fn pipe() -> (File, File) {
        let (theirs, ours) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        fcntl_setfl(&ours, OFlags::NONBLOCK).expect("flags");
        (theirs.into(), ours.into())
    }

    #[test]
    fn a_piece_is_written_once_however_often_it_comes() {
        let (mut theirs, ours) = pipe();
        let mut input = Input::default();
        input.take("a".into(), b"one\n");
        input.connect(ours);
        input.take("a".into(), b"one\n");
        input.take("b".into(), b"two\n");
        input.end();
        input.take("c".into(), b"too late\n");
        let mut read = String::new();
        theirs.read_to_string(&mut read).expect("the end is there");
        assert_eq!(read, "one\ntwo\n");
        assert_eq!(input.taken(), ["a", "b"]);
    }

    #[test]
    fn more_than_a_pipe_holds_waits_and_who_does_not_read_is_left_alone() {
        let (mut theirs, ours) = pipe();
        let mut input = Input::default();
        input.connect(ours);
        let large = vec![b'x'; 1 << 20];
        input.take("large".into(), &large);
        assert!(input.poll_fd().is_some());
        let mut read = vec![0; 1 << 17];
        let mut left = large.len();
        while left > 0 {
            left -= theirs.read(&mut read).expect("read");
            input.write();
        }
        assert!(input.poll_fd().is_none());
        drop(theirs);
        input.take("more".into(), b"to nobody");
        assert!(input.poll_fd().is_none(), "nothing is polled in vain");
    }
}
