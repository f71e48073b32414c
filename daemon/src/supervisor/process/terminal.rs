//! The command's terminal, as far as those who attach to it type and have a size. Never waits.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};

use rustix::event::{PollFd, PollFlags};
use rustix::termios::{Winsize, tcsetwinsize};

use super::complain;

/// How much may wait for a command that reads slowly: more than anybody pastes. What comes on top
/// is lost, as in every terminal.
const TYPED_LEN_MAX: usize = 1 << 20;

/// The outer end of a terminal, once there is one.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    /// None before the command runs, and for a command without a terminal.
    outer: Option<File>,
    typed: VecDeque<u8>,
}

impl Terminal {
    /// Takes the outer end, which must not block.
    pub(super) fn connect(&mut self, outer: File) {
        self.outer = Some(outer);
    }

    /// Types. Without a terminal there is nobody who reads it.
    pub(super) fn type_keys(&mut self, keys: &[u8]) {
        if self.outer.is_some() && self.typed.len() + keys.len() <= TYPED_LEN_MAX {
            self.typed.extend(keys);
            self.write();
        }
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
        let outer = self.outer.as_ref().filter(|_| !self.typed.is_empty())?;
        Some(PollFd::new(outer, PollFlags::OUT))
    }

    /// Passes on as much as the terminal takes now.
    pub(super) fn write(&mut self) {
        let Some(outer) = &mut self.outer else { return };
        while !self.typed.is_empty() {
            match outer.write(self.typed.as_slices().0) {
                Ok(0) => return,
                Ok(written) => drop(self.typed.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_nobody_is_left) => {
                    self.typed.clear();
                    self.outer = None;
                    return;
                }
            }
        }
    }
}
