//! What was shown that the run's output does not keep: `handoff logs` lacks it, which is told.

use crate::output::Output;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    is_there: bool,
    /// How many bytes of it came too fast to be shown.
    skipped: u64,
}

impl Unkept {
    /// Takes note that some was shown, and of how much before that was not.
    pub(super) const fn add(&mut self, skipped: u64) {
        self.is_there = true;
        self.skipped += skipped;
    }

    pub(super) const fn is_there(&self) -> bool {
        self.is_there
    }

    /// Tells of it in the end.
    pub(super) fn tell(&self, output: &Output) {
        if self.is_there {
            output.note("the last of what it showed is past its limit, and not in its log");
        }
        if self.skipped > 0 {
            output.note(format_args!("{} bytes of that came too fast to be shown", self.skipped));
        }
    }
}
