//! Every key for the run, every byte of it as it is; and the terminal as it was in the end.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Our terminal in raw mode, until this is dropped.
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Lets every key through: none of them interrupts, edits or is shown here.
    ///
    /// # Errors
    ///
    /// Where standard input is no terminal, or not ours.
    pub fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // What was typed for the run and not read is not for the shell. A terminal that has gone
        // needs no mode.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

impl std::fmt::Debug for RawMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawMode")
    }
}
