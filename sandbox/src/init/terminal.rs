//! The command's terminal: made in the jail, from its own `/dev/pts`, so that its name means
//! something there. The command gets one end; the other one goes to the caller before the command
//! is started, and nobody in the jail keeps it.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::pty::{ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::TerminalSize;

/// Where the kernel makes terminals.
const MAKER: &str = "/dev/ptmx";

/// A new terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    /// The end of whoever looks and types.
    outer: OwnedFd,
    /// The command's end. Held as long as the jail lasts: a command that closes it for a moment
    /// must not look like one that has gone.
    inner: OwnedFd,
}

impl Terminal {
    /// Makes a terminal of this size, which controls nobody yet.
    pub(super) fn open(size: TerminalSize) -> Result<Self, Refusal> {
        Self::make(size).refuse(Step::Terminal, "make a terminal")
    }

    fn make(size: TerminalSize) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let outer = openat(CWD, MAKER, flags, Mode::empty())?;
        unlockpt(&outer)?;
        let inner = openat(CWD, ptsname(&outer, Vec::new())?, flags, Mode::empty())?;
        tcsetwinsize(&inner, window(size))?;
        Ok(Self { outer, inner })
    }

    /// The command's standard streams, all of them.
    pub(super) fn streams(&self) -> Result<[OwnedFd; 3], Refusal> {
        let stream = || self.inner.try_clone().refuse(Step::Terminal, "pass the terminal on");
        Ok([stream()?, stream()?, stream()?])
    }

    /// The end that goes to the caller.
    pub(super) fn outer(&self) -> BorrowedFd<'_> {
        self.outer.as_fd()
    }

    /// Lets go of that end, and keeps what holds the other one open.
    pub(super) fn keep_inner(self) -> OwnedFd {
        self.inner
    }
}

const fn window(size: TerminalSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}
