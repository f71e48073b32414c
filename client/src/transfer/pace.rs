//! How much effort compression is worth: on a fast link the processor must not be the limit, on a
//! slow one the bytes must not be.
//!
//! Pure: whoever sends says how long it worked and how long it waited for the link.

use std::time::Duration;

use handoff_proto::bundle::LEVEL_MIN;

use super::flight::BYTES_MIN;

/// An effort of zstd.
#[derive(Debug)]
struct Effort {
    level: i32,
    /// Processor time for the same bytes, in times of the least effort; measured with `zstd -b` on
    /// source code.
    cost: u32,
}

/// From copying to the most that keeps up with half a megabyte a second.
const EFFORTS: [Effort; 7] = [
    Effort { level: LEVEL_MIN, cost: 1 },
    Effort { level: 1, cost: 2 },
    Effort { level: 3, cost: 3 },
    Effort { level: 6, cost: 10 },
    Effort { level: 9, cost: 16 },
    Effort { level: 12, cost: 31 },
    Effort { level: 15, cost: 160 },
];

/// Where to begin: what is sent before anything is known of a slow link is a good part of a small
/// tree, and on a fast one it takes milliseconds.
const START: usize = 3;

/// Plain bytes between two decisions.
const STEP_BYTES: u64 = 512 << 10;

/// Whoever waits less than this may only have met a daemon that was writing to its disk.
const SPAN: Duration = Duration::from_millis(50);

/// A link that took this many bytes and was not waited for is fast. Before, it may only not have
/// been full.
const FILLED_BYTES: u64 = BYTES_MIN + BYTES_MIN / 2;

/// A level that turned out to be too much is tried again after this many plain bytes: links change.
const RETRY_BYTES: u64 = 64 << 20;

/// The effort that suits the link, found while sending.
#[derive(Debug)]
pub(super) struct Pace {
    place: usize,
    plain: u64,
    given: u64,
    busy: Duration,
    waited: Duration,
    /// The place that the processor did not manage, and how many plain bytes ago that was.
    too_much: Option<(usize, u64)>,
    /// Bytes that the link has still to take until one that was not waited for is fast.
    unknown: u64,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            place: START,
            plain: 0,
            given: 0,
            busy: Duration::ZERO,
            waited: Duration::ZERO,
            too_much: None,
            unknown: FILLED_BYTES,
        }
    }

    /// The level for what comes next.
    pub(super) const fn level(&self) -> i32 {
        EFFORTS[self.place].level
    }

    /// Takes note of a part that was sent: its plain size, how many bytes the link was given, how
    /// long the processor worked on it, and how long the link did not take it.
    pub(super) fn sent(&mut self, plain: u64, given: u64, busy: Duration, waited: Duration) {
        self.plain += plain;
        self.given += given;
        self.busy += busy;
        self.waited += waited;
        self.too_much = self
            .too_much
            .map(|(place, ago)| (place, ago + plain))
            .filter(|(_, ago)| *ago < RETRY_BYTES);
        // Only who gives the link something waits for it.
        if self.plain < STEP_BYTES || self.given == 0 {
            return;
        }
        if self.decide() {
            (self.plain, self.given) = (0, 0);
            (self.busy, self.waited) = (Duration::ZERO, Duration::ZERO);
        }
    }

    /// Looks at what happened since the last decision; whether that was enough for one.
    fn decide(&mut self) -> bool {
        let was_waited_for = self.waited >= self.busy / 8;
        self.unknown = if was_waited_for { 0 } else { self.unknown.saturating_sub(self.given) };
        let is_telling = self.busy + self.waited >= SPAN;
        let is_slow = is_telling && self.waited > 8 * self.busy;
        if self.place > 0 && !is_slow && !self.pays() {
            self.place -= 1;
        } else if !was_waited_for {
            if self.place > 0 && self.unknown == 0 {
                self.too_much = Some((self.place, 0));
                self.place -= 1;
            }
        } else if is_telling {
            if self.waited > 2 * self.busy {
                // Whatever was too much before, the link is another now, or was not full then.
                self.too_much = None;
            }
            if is_slow || self.pays() {
                let ceiling = self.too_much.map_or(EFFORTS.len(), |(place, _)| place);
                self.place = self.fitting().min(ceiling.saturating_sub(1)).max(self.place);
            }
        } else {
            return false;
        }
        true
    }

    /// Whether effort saves any bytes worth speaking of.
    fn pays(&self) -> bool {
        self.given < self.plain - self.plain / 16
    }

    /// The most effort that would have kept the processor just as long as the link.
    fn fitting(&self) -> usize {
        let affordable = (self.busy + self.waited) * EFFORTS[self.place].cost;
        let fits = |effort: &Effort| self.busy * effort.cost <= affordable;
        EFFORTS.iter().rposition(fits).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends this many steps over a link of so many bytes a second that takes a quarter of a
    /// megabyte at once; compression halves the size.
    /// Returns the levels used.
    fn levels(steps: u64, bytes_per_second: f64) -> Vec<i32> {
        let mut pace = Pace::new();
        let mut queued = 0.0_f64;
        (0..steps)
            .map(|_| {
                let level = pace.level();
                let speed = 2e9 / f64::from(EFFORTS[pace.place].cost);
                let given: u32 = if level == LEVEL_MIN { 512 << 10 } else { 256 << 10 };
                let size = f64::from(given);
                let busy = 524288.0 / speed;
                queued = (queued - busy * bytes_per_second).max(0.0) + size;
                let waited = (queued - 262144.0).max(0.0) / bytes_per_second;
                queued = queued.min(262144.0);
                let seconds = Duration::from_secs_f64;
                pace.sent(STEP_BYTES, given.into(), seconds(busy), seconds(waited));
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
        assert!(levels.iter().all(|level| *level >= EFFORTS[START].level), "{levels:?}");
        assert!(levels[5..].iter().all(|level| *level >= 6), "{levels:?}");
    }

    #[test]
    fn a_wait_counts_for_all_that_the_link_was_given() {
        // One piece in four parts, and half of the time is waited for it.
        let mut pace = Pace::new();
        let millisecond = Duration::from_millis(1);
        for number in 1..=400 {
            let (given, waited) =
                if number % 4 == 0 { (BYTES_MIN, 4 * millisecond) } else { (0, Duration::ZERO) };
            pace.sent(STEP_BYTES / 2, given, millisecond, waited);
            assert!(pace.level() >= EFFORTS[START].level, "{number}");
        }
    }

    #[test]
    fn what_cannot_be_compressed_is_not_tried_for_a_daemon_that_is_busy() {
        let mut pace = Pace::new();
        let millisecond = Duration::from_millis(1);
        (0..100).for_each(|_| pace.sent(STEP_BYTES, STEP_BYTES, millisecond, 3 * millisecond));
        assert_eq!(pace.level(), LEVEL_MIN);
        // Nor is it given up on a slow link: the least effort finds less than there is.
        (0..3).for_each(|_| pace.sent(STEP_BYTES, STEP_BYTES, millisecond, 100 * millisecond));
        assert_eq!(pace.level(), 15);
    }

    #[test]
    fn a_link_that_becomes_slow_gets_more_at_once() {
        let mut pace = Pace::new();
        let (millisecond, second) = (Duration::from_millis(1), Duration::from_secs(1));
        (0..40).for_each(|_| pace.sent(STEP_BYTES, STEP_BYTES, millisecond, Duration::ZERO));
        assert_eq!(pace.level(), LEVEL_MIN);
        (0..3).for_each(|_| pace.sent(STEP_BYTES, STEP_BYTES, millisecond, second));
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
