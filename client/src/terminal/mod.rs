//! The terminal that we are started in, while a run has it. Knows no run.

mod detach;
mod keyboard;
mod raw;

use std::io::{self, IsTerminal as _};

use handoff_proto::wire::TerminalSize;
use rustix::termios::{QueueSelector, tcflush, tcgetwinsize};

pub use detach::{DetachKeys, Typed};
pub use keyboard::Keyboard;
pub use raw::RawMode;

/// The size of a terminal that does not tell its own, and of one that nobody looks at yet.
const USUAL: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// Whether keys come from a terminal, and output goes to one.
#[must_use]
pub fn is_ours() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Lets nobody read what was typed until now.
///
/// # Errors
///
/// Where standard input is no terminal, or not ours.
pub fn discard_typed() -> io::Result<()> {
    Ok(tcflush(io::stdin(), QueueSelector::IFlush)?)
}

/// How large our terminal is.
#[must_use]
pub fn size() -> TerminalSize {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            TerminalSize { rows: size.ws_row.into(), columns: size.ws_col.into() }
        }
        Ok(_) | Err(_) => USUAL,
    }
}
