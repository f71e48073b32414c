//! What is said about one remote in the notifier's log.

use std::fmt::Display;

use crate::output::Output;

/// Speaks about one remote, and repeats nothing.
#[derive(Debug)]
pub(super) struct Voice {
    remote: String,
    output: Output,
    told: String,
}

impl Voice {
    pub(super) fn new(remote: &str, output: Output) -> Self {
        Self { remote: remote.to_owned(), output, told: String::new() }
    }

    /// Says what has happened; from then on anything may be said again.
    pub(super) fn tell(&mut self, what: impl Display) {
        self.output.note(format_args!("{}: {what}", self.remote));
        self.told.clear();
    }

    /// Says how things stand unless that was said last: a remote that is away for a night fills no
    /// log.
    pub(super) fn tell_once(&mut self, what: &str) {
        if self.told != what {
            self.output.note(format_args!("{}: {what}", self.remote));
            what.clone_into(&mut self.told);
        }
    }

    /// Where it speaks, for those who show progress.
    pub(super) fn output(&self) -> &Output {
        &self.output
    }
}
