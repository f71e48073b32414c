//! How much effort compression is worth: on a fast link the processor must not be the limit, on a
//! slow one the bytes must not be.
//!
//! Pure: whoever sends says how long it worked and how long it waited for the link.

use std::time::Duration;

use handoff_proto::bundle::LEVEL_MIN;

/// Levels of zstd, each about twice the work of the one before, from copying to the most that
/// keeps up with a few megabytes a second.
const LEVELS: [i32; 7] = [LEVEL_MIN, 1, 3, 6, 9, 12, 15];

/// Where to begin: what is sent before anything is known of a slow link is a good part of a small
/// tree, and on a fast one it takes milliseconds.
const START: usize = 3;

/// Plain bytes between two decisions.
const STEP_BYTES: u64 = 512 << 10;

/// Plain bytes after which a link that was never waited for is fast: before, it may only not have
/// been full.
const FILLED_BYTES: u64 = 2 << 20;

/// A level that turned out to be too much is tried again after this many plain bytes: links change.
const RETRY_BYTES: u64 = 64 << 20;

/// The effort that suits the link, found while sending.
#[derive(Debug)]
pub(super) struct Pace {
    place: usize,
    plain: u64,
    pieces: u64,
    busy: Duration,
    waited: Duration,
    /// The place that the processor did not manage, and how many plain bytes ago that was.
    too_much: Option<(usize, u64)>,
    /// Plain bytes until a link that was not waited for is taken for fast.
    unknown: u64,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            place: START,
            plain: 0,
            pieces: 0,
            busy: Duration::ZERO,
            waited: Duration::ZERO,
            too_much: None,
            unknown: FILLED_BYTES,
        }
    }

    /// The level for what comes next.
    pub(super) const fn level(&self) -> i32 {
        LEVELS[self.place]
    }

    /// Takes note of a part that was sent: its plain size, how many pieces the link was given, how
    /// long the processor worked on it, and how long the link did not take it.
    pub(super) fn sent(&mut self, plain: u64, pieces: u64, busy: Duration, waited: Duration) {
        self.plain += plain;
        self.pieces += pieces;
        self.busy += busy;
        self.waited += waited;
        // Only who gives the link something waits for it.
        let is_step = self.plain >= STEP_BYTES && self.pieces > 0;
        if !is_step && self.plain < FILLED_BYTES {
            return;
        }
        self.too_much = self
            .too_much
            .map(|(place, ago)| (place, ago + self.plain))
            .filter(|(_, ago)| *ago < RETRY_BYTES);
        self.unknown =
            if self.waited.is_zero() { self.unknown.saturating_sub(self.plain) } else { 0 };
        self.decide();
        (self.plain, self.pieces) = (0, 0);
        (self.busy, self.waited) = (Duration::ZERO, Duration::ZERO);
    }

    fn decide(&mut self) {
        if self.waited > 8 * self.busy {
            // Whatever was too much before, the link is another now.
            self.too_much = None;
            self.place = (self.place + 2).min(LEVELS.len() - 1);
        } else if self.waited > self.busy / 3 {
            // Bytes are dearer than idle time, as long as the link does not wait.
            let ceiling = self.too_much.map_or(LEVELS.len(), |(place, _)| place) - 1;
            self.place = (self.place + 1).min(ceiling.max(self.place));
        } else if self.waited < self.busy / 8 && self.place > 0 && self.unknown == 0 {
            self.too_much = Some((self.place, 0));
            self.place -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends this many steps over a link of so many bytes a second that takes a quarter of a
    /// megabyte at once; compression halves the size and each level costs twice the one before.
    /// Returns the levels used.
    fn levels(steps: u64, bytes_per_second: f64) -> Vec<i32> {
        let mut pace = Pace::new();
        let mut queued = 0.0_f64;
        (0..steps)
            .map(|_| {
                let level = pace.level();
                let place = LEVELS.iter().position(|known| *known == level).unwrap_or_default();
                let speed = 2e9 / f64::from(1_u32 << (2 * place));
                let size = if place == 0 { 524288.0 } else { 262144.0 };
                let busy = 524288.0 / speed;
                queued = (queued - busy * bytes_per_second).max(0.0) + size;
                let waited = (queued - 262144.0).max(0.0) / bytes_per_second;
                queued = queued.min(262144.0);
                let seconds = Duration::from_secs_f64;
                pace.sent(STEP_BYTES, 1, seconds(busy), seconds(waited));
                level
            })
            .collect()
    }

    #[test]
    fn a_link_faster_than_compression_gets_none() {
        let levels = levels(200, 5e9);
        let least = levels.iter().filter(|level| **level == LEVEL_MIN).count();
        assert!(least > 175, "{levels:?}");
    }

    #[test]
    fn a_slow_link_gets_the_most() {
        let levels = levels(100, 1e5);
        assert_eq!(levels[3..].iter().min(), Some(&15), "{levels:?}");
    }

    #[test]
    fn a_link_that_is_not_full_yet_is_not_taken_for_a_fast_one() {
        let levels = levels(100, 2.5e6);
        assert!(levels.iter().all(|level| *level >= LEVELS[START]), "{levels:?}");
        assert!(levels[5..].iter().all(|level| *level >= 6), "{levels:?}");
    }

    #[test]
    fn a_wait_counts_for_all_that_the_link_was_given() {
        // One piece in four parts, and half of the time is waited for it.
        let mut pace = Pace::new();
        let millisecond = Duration::from_millis(1);
        for number in 1..=400 {
            let (pieces, waited) =
                if number % 4 == 0 { (1, 4 * millisecond) } else { (0, Duration::ZERO) };
            pace.sent(STEP_BYTES / 2, pieces, millisecond, waited);
            assert!(pace.level() >= LEVELS[START], "{number}");
        }
    }

    #[test]
    fn a_link_that_becomes_slow_gets_more_at_once() {
        let mut pace = Pace::new();
        let (millisecond, second) = (Duration::from_millis(1), Duration::from_secs(1));
        (0..40).for_each(|_| pace.sent(STEP_BYTES, 1, millisecond, Duration::ZERO));
        assert_eq!(pace.level(), LEVEL_MIN);
        (0..3).for_each(|_| pace.sent(STEP_BYTES, 1, millisecond, second));
        assert_eq!(pace.level(), 15);
    }

    #[test]
    fn the_level_in_between_is_kept() {
        let levels = levels(200, 2e7);
        let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes < 16, "{changes} changes: {levels:?}");
        assert!(levels[20..].iter().all(|level| (1..15).contains(level)), "{levels:?}");
    }
}
