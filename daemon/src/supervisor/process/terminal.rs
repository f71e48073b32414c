//! The command's terminal, as far as those who attach to it type and have a size. Never waits.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};

use rustix::event::{PollFd, PollFlags};
use rustix::termios::{Winsize, tcsetwinsize};

use super::complain;
use crate::supervisor::message::Typist;

/// How much may wait for a command that reads slowly. Daemons let less of each typist be on its way;
/// what comes on top is not taken, and wanted again once there is room.
const WAITING_LEN_MAX: usize = 1 << 20;

/// How little waits where there is room for those whose keys were not taken: whatever one daemon lets
/// be on its way.
const ROOM_BELOW: usize = WAITING_LEN_MAX / 2;

/// How many typists are remembered: those who may come back to go on where they were.
const TYPISTS_MAX: usize = 64;

/// The outer end of a terminal, once there is one.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    /// None before the command runs, and for a command without a terminal.
    outer: Option<File>,
    waiting: VecDeque<Piece>,
    waiting_len: usize,
    /// The latest one last.
    typists: VecDeque<Progress>,
}

/// Keys that wait.
#[derive(Debug)]
struct Piece {
    /// Where its typist is when it is typed; none where they do not count.
    end: Option<Typist>,
    keys: Vec<u8>,
    typed: usize,
}

/// How far a typist has come.
#[derive(Debug)]
struct Progress {
    name: String,
    /// What was taken, what was typed of that, and what was told of that.
    taken: u64,
    typed: u64,
    told: u64,
    /// Whether what comes next was not taken.
    refused: bool,
}

impl Terminal {
    /// Takes the outer end, which must not block.
    pub(super) fn connect(&mut self, outer: File) {
        self.outer = Some(outer);
    }

    /// Types what is new of it. Without a terminal there is nobody who reads it.
    pub(super) fn type_keys(&mut self, by: Option<Typist>, mut keys: Vec<u8>) {
        if self.outer.is_none() {
            return;
        }
        let room = WAITING_LEN_MAX - self.waiting_len;
        let end = match by {
            None if keys.len() > room => return,
            None => None,
            Some(Typist { name, at }) => {
                let end = at.saturating_add(keys.len() as u64);
                let progress = self.progress(&name, at);
                // What is missing in between comes first, or was typed already.
                if at > progress.taken || end <= progress.taken {
                    return;
                }
                let known = usize::try_from(progress.taken - at).unwrap_or(keys.len());
                keys.drain(..known);
                progress.refused = keys.len() > room;
                if progress.refused {
                    return;
                }
                progress.taken = end;
                Some(Typist { name, at: end })
            }
        };
        self.waiting_len += keys.len();
        self.waiting.push_back(Piece { end, keys, typed: 0 });
        self.write();
    }

    fn progress(&mut self, name: &str, at: u64) -> &mut Progress {
        let known = self.typists.iter().position(|typist| typist.name == name);
        let progress = known.and_then(|index| self.typists.remove(index));
        if self.typists.len() == TYPISTS_MAX {
            self.typists.pop_front();
        }
        let name = name.to_owned();
        let new = || Progress { name, taken: at, typed: at, told: at, refused: false };
        let last = self.typists.len();
        self.typists.push_back(progress.unwrap_or_else(new));
        &mut self.typists[last]
    }

    /// How far the latest typists have come: what was taken will be typed.
    pub(super) fn typists(&self) -> Vec<Typist> {
        let taken =
            |progress: &Progress| Typist { name: progress.name.clone(), at: progress.taken };
        self.typists.iter().map(taken).collect()
    }

    /// Who has come further since they were told.
    pub(super) fn news(&mut self) -> Vec<Typist> {
        let news = self.typists.iter_mut().filter(|progress| progress.told < progress.typed);
        news.map(|progress| {
            progress.told = progress.typed;
            Typist { name: progress.name.clone(), at: progress.typed }
        })
        .collect()
    }

    /// Whose keys were not taken, and from where on, once there is room for them.
    pub(super) fn wanted_again(&mut self) -> Vec<Typist> {
        if self.waiting_len > ROOM_BELOW {
            return Vec::new();
        }
        let refused = self.typists.iter_mut().filter(|progress| progress.refused);
        refused
            .map(|progress| {
                progress.refused = false;
                Typist { name: progress.name.clone(), at: progress.taken }
            })
            .collect()
    }

    /// Gives it another size, of which the kernel tells the program in front.
    pub(super) fn resize(&self, rows: u16, columns: u16) {
        let Some(outer) = &self.outer else { return };
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        if let Err(error) = tcsetwinsize(outer, size) {
            complain("change the terminal's size", &io::Error::from(error));
        }
    }

    /// What to poll before [`write`](Self::write), as long as something waits.
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        let outer = self.outer.as_ref().filter(|_| !self.waiting.is_empty())?;
        Some(PollFd::new(outer, PollFlags::OUT))
    }

    /// Passes on as much as the terminal takes now.
    pub(super) fn write(&mut self) {
        let Some(outer) = &mut self.outer else { return };
        while let Some(piece) = self.waiting.front_mut() {
            match outer.write(&piece.keys[piece.typed..]) {
                Ok(0) => return,
                Ok(written) => {
                    piece.typed += written;
                    self.waiting_len -= written;
                    let left = (piece.keys.len() - piece.typed) as u64;
                    if let Some(Typist { name, at }) = &piece.end {
                        let of = self.typists.iter_mut().find(|typist| typist.name == *name);
                        of.into_iter().for_each(|progress| progress.typed = at - left);
                    }
                    if left == 0 {
                        self.waiting.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_nobody_is_left) => {
                    self.waiting.clear();
                    self.waiting_len = 0;
                    self.outer = None;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    fn by(name: &str, at: u64) -> Option<Typist> {
        Some(Typist { name: name.into(), at })
    }

    /// A terminal, as far as keys are concerned.
    fn pipe() -> (File, Terminal) {
        let (theirs, ours) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        fcntl_setfl(&ours, OFlags::NONBLOCK).expect("flags");
        let mut terminal = Terminal::default();
        terminal.connect(ours.into());
        (theirs.into(), terminal)
    }

    fn typed(mut theirs: File, terminal: Terminal) -> String {
        drop(terminal);
        let mut typed = String::new();
        theirs.read_to_string(&mut typed).expect("read");
        typed
    }

    #[test]
    fn each_key_is_typed_once_and_in_order_however_often_it_is_sent() {
        let (theirs, mut terminal) = pipe();
        terminal.type_keys(by("a", 0), b"one ".to_vec());
        terminal.type_keys(by("a", 0), b"one ".to_vec());
        terminal.type_keys(by("a", 2), b"e two ".to_vec());
        terminal.type_keys(by("a", 20), b"too early".to_vec());
        terminal.type_keys(None, b"uncounted ".to_vec());
        // One of whom nothing is known begins where they say.
        terminal.type_keys(by("b", 7), b"other ".to_vec());
        terminal.type_keys(by("a", 8), b"three".to_vec());
        assert_eq!(terminal.typists(), [by("b", 13), by("a", 13)].map(Option::unwrap));
        assert_eq!(terminal.news(), [by("b", 13), by("a", 13)].map(Option::unwrap));
        assert_eq!(terminal.news(), []);
        assert_eq!(typed(theirs, terminal), "one two uncounted other three");
    }

    #[test]
    fn what_waits_is_bounded_and_what_was_not_taken_may_come_again() {
        let (mut theirs, mut terminal) = pipe();
        let keys: Vec<u8> = (0..3_u32 << 20).map(|number| (number % 251) as u8).collect();
        let mut read = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while read.len() < keys.len() {
            let taken = terminal.typists().first().map_or(0, |typist| typist.at);
            let rest = &keys[usize::try_from(taken).expect("an index")..];
            for (number, piece) in rest.chunks(4000).enumerate() {
                let at = taken + number as u64 * 4000;
                terminal.type_keys(by("a", at), piece.to_vec());
            }
            assert!(terminal.waiting_len <= WAITING_LEN_MAX);
            let got = theirs.read(&mut buffer).expect("read");
            read.extend_from_slice(&buffer[..got]);
            terminal.write();
        }
        assert!(read == keys, "nothing is lost or reordered");
        let told: Vec<Typist> = terminal.news();
        assert_eq!(told, [Typist { name: "a".into(), at: keys.len() as u64 }]);
    }

    #[test]
    fn whose_keys_were_not_taken_is_told_once_there_is_room() {
        let (mut theirs, mut terminal) = pipe();
        terminal.type_keys(by("a", 0), vec![b'a'; WAITING_LEN_MAX]);
        let waiting = terminal.waiting_len;
        terminal.type_keys(by("a", WAITING_LEN_MAX as u64), vec![b'a'; WAITING_LEN_MAX - waiting]);
        assert_eq!(terminal.waiting_len, WAITING_LEN_MAX);
        terminal.type_keys(by("b", 7), b"one".to_vec());
        terminal.type_keys(by("b", 10), b" two".to_vec());
        assert_eq!(terminal.wanted_again(), []);
        let mut buffer = vec![0; 1 << 16];
        let mut wanted = Vec::new();
        while wanted.is_empty() {
            assert!(theirs.read(&mut buffer).expect("read") > 0);
            terminal.write();
            // What comes behind what was not taken is not typed before it.
            terminal.type_keys(by("b", 10), b" two".to_vec());
            wanted = terminal.wanted_again();
        }
        assert_eq!(wanted, [by("b", 7)].map(Option::unwrap));
        assert_eq!(terminal.wanted_again(), []);
        terminal.type_keys(by("b", 7), b"one".to_vec());
        terminal.type_keys(by("b", 10), b" two".to_vec());
        assert_eq!(terminal.wanted_again(), []);
        assert_eq!(terminal.typists().last(), by("b", 14).as_ref());
    }

    #[test]
    fn so_many_typists_are_remembered() {
        let (_theirs, mut terminal) = pipe();
        for number in 0..2 * TYPISTS_MAX {
            terminal.type_keys(by(&number.to_string(), 0), b"x".to_vec());
        }
        assert_eq!(terminal.typists().len(), TYPISTS_MAX);
    }
}
