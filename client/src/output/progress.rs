//! How a long transfer gets on: a bar on a terminal, a line every few seconds elsewhere.

use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use handoff_proto::path::harmless;

use super::{Format, Output, Stream};

/// How often a line is printed where standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Work that is done before this is up shows nothing.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

/// Shows bytes, rate and time left of one transfer; disappears when dropped.
#[derive(Debug)]
pub struct Progress {
    output: Output,
    what: String,
    bar: ProgressBar,
    begun: Instant,
    shown: Once,
    last_line: Mutex<Instant>,
}

impl Progress {
    pub(super) fn start(output: Output, what: &str, bytes: u64) -> Self {
        let style = ProgressStyle::with_template(
            "{msg} {bar:30} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden())
            .with_style(style)
            .with_message(harmless(what));
        let begun = Instant::now();
        Self {
            output,
            what: what.to_owned(),
            bar,
            begun,
            shown: Once::new(),
            last_line: Mutex::new(begun),
        }
    }

    /// Tells how many bytes are through by now.
    pub fn set(&self, bytes: u64) {
        self.bar.set_position(bytes);
        self.show_when_due();
    }

    /// Tells that so many more bytes are through.
    pub fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.show_when_due();
    }

    /// Begins anew, with so many bytes in all.
    pub fn restart(&self, bytes: u64) {
        self.bar.set_position(0);
        self.bar.set_length(bytes);
    }

    /// Corrects how many bytes there are in all.
    pub fn set_total(&self, bytes: u64) {
        self.bar.set_length(bytes);
    }

    /// Runs something that prints without tearing the bar.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    fn show_when_due(&self) {
        if self.output.format == Format::Json || self.begun.elapsed() < SHOWN_AFTER {
            return;
        }
        if self.output.is_terminal(Stream::Err) {
            self.shown.call_once(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        } else {
            self.line_when_due();
        }
    }

    fn line_when_due(&self) {
        let Ok(mut last) = self.last_line.lock() else {
            return;
        };
        if last.elapsed() < LINE_EVERY {
            return;
        }
        *last = Instant::now();
        let (position, length) = (self.bar.position(), self.bar.length().unwrap_or_default());
        let left = match self.bar.eta() {
            // Nothing is known yet, or nothing is left.
            Duration::ZERO => String::new(),
            left => format!(", {} left", HumanDuration(left)),
        };
        let (position, length) = (DecimalBytes(position), DecimalBytes(length));
        self.output.note(format_args!("{}: {position} of {length}{left}", self.what));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
