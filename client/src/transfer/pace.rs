//! How much effort compression is worth: on a fast link the processor must not be the limit, on a
//! slow one the bytes must not be.
//!
//! Pure: whoever sends says how long it worked and how long it waited for the link.

use std::time::Duration;

use handoff_proto::bundle::{Effort, LEVEL_MIN};

use super::flight::BYTES_MIN;

/// An effort, and what it takes.
#[derive(Debug)]
struct Step {
    effort: Effort,
    /// Processor time for the same bytes, in times of storing them; of compression measured with
    /// `zstd -b` on source code.
    cost: u32,
}

impl Step {
    const fn level(level: i32, cost: u32) -> Self {
        Self { effort: Effort::Level(level), cost }
    }
}

/// From copying to the most that keeps up with half a megabyte a second.
const STEPS: [Step; 8] = [
    Step { effort: Effort::Stored, cost: 1 },
    Step::level(LEVEL_MIN, 4),
    Step::level(1, 8),
    Step::level(3, 12),
    Step::level(6, 40),
    Step::level(9, 64),
    Step::level(12, 124),
    Step::level(15, 640),
];

/// The place of the least effort that shows whether effort pays: levels below 0 only find what
/// repeats.
const TRIAL: usize = 2;

/// Where to begin: what is sent before anything is known of a slow link is a good part of a small
/// tree, and on a fast one it takes milliseconds.
const START: usize = 4;

/// Plain bytes between two decisions.
const STEP_BYTES: u64 = 512 << 10;

/// Whoever waits less than this may only have met a daemon that was writing to its disk.
const SPAN: Duration = Duration::from_millis(50);

/// A link that took this many bytes and was not waited for is fast. Before, it may only not have
/// been full.
const FILLED_BYTES: u64 = BYTES_MIN + BYTES_MIN / 2;

/// A level that turned out to be too much is tried again after this many plain bytes: links change.
const RETRY_BYTES: u64 = 64 << 20;

/// What a byte takes on a link of 32 MB/s: about what effort on content that does not shrink keeps
/// up with.
const FAST_BYTE_NANOS: u64 = 31;

/// How much is stored until it is tried again whether effort pays: content changes.
const STORED_BYTES: u64 = 16 << 20;

/// A part of what is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Its plain size in bytes.
    pub(super) plain: u64,
    /// What effort made of that.
    pub(super) packed: u64,
    /// How many bytes the link was given: what was packed is given in pieces.
    pub(super) given: u64,
    /// How long the processor worked on it.
    pub(super) busy: Duration,
    /// How long the link did not take it.
    pub(super) waited: Duration,
}

/// The effort that suits the link, found while sending.
#[derive(Debug)]
pub(super) struct Pace {
    place: usize,
    plain: u64,
    packed: u64,
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
            packed: 0,
            given: 0,
            busy: Duration::ZERO,
            waited: Duration::ZERO,
            too_much: None,
            unknown: FILLED_BYTES,
        }
    }

    /// What to do with what comes next.
    pub(super) const fn effort(&self) -> Effort {
        STEPS[self.place].effort
    }

    /// Takes note of a part that was sent.
    pub(super) fn sent(&mut self, part: &Part) {
        let Part { plain, packed, given, busy, waited } = *part;
        self.plain += plain;
        self.packed += packed;
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
            (self.plain, self.packed, self.given) = (0, 0, 0);
            (self.busy, self.waited) = (Duration::ZERO, Duration::ZERO);
        }
    }

    /// Looks at what happened since the last decision; whether that was enough for one.
    fn decide(&mut self) -> bool {
        let is_telling = self.busy + self.waited >= SPAN;
        let is_slow = is_telling && self.waited > 8 * self.busy;
        if self.place == 0 {
            if !is_slow && self.plain < STORED_BYTES {
                return false;
            }
            self.place = TRIAL;
            return true;
        }
        let was_waited_for = self.waited >= self.busy / 8;
        self.unknown = if was_waited_for { 0 } else { self.unknown.saturating_sub(self.given) };
        if self.is_fast() && !is_slow && !self.pays() {
            self.place = if self.place > TRIAL { self.place - 1 } else { 0 };
        } else if !was_waited_for {
            if self.place > 1 && self.unknown == 0 {
                self.too_much = Some((self.place, 0));
                self.place -= 1;
            }
        } else if is_telling {
            if self.waited > 2 * self.busy {
                // Whatever was too much before, the link is another now, or was not full then.
                self.too_much = None;
            }
            let ceiling = self.too_much.map_or(STEPS.len(), |(place, _)| place);
            self.place = self.fitting().min(ceiling.saturating_sub(1)).max(self.place);
        } else {
            return false;
        }
        true
    }

    /// Whether the link took so much that effort which saves nothing costs time. Where it did not,
    /// there is time for trying, and each change of effort forgets what came before.
    fn is_fast(&self) -> bool {
        let as_slow = Duration::from_nanos(self.given.saturating_mul(FAST_BYTE_NANOS));
        self.busy + self.waited <= as_slow
    }

    /// Whether effort saves any bytes worth speaking of.
    fn pays(&self) -> bool {
        self.packed < self.plain - self.plain / 16
    }

    /// The most effort that would have kept the processor just as long as the link.
    fn fitting(&self) -> usize {
        let affordable = (self.busy + self.waited) * STEPS[self.place].cost;
        let fits = |step: &Step| self.busy * step.cost <= affordable;
        STEPS.iter().rposition(fits).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// A step that effort made `packed` of.
    const fn step(packed: u64, busy: Duration, waited: Duration) -> Part {
        Part { plain: STEP_BYTES, packed, given: packed, busy, waited }
    }

    /// Sends this many steps over a link of so many bytes a second that takes a quarter of a
    /// megabyte at once; compression halves the size. Returns the levels used.
    fn levels(steps: u64, bytes_per_second: f64) -> Vec<i32> {
        let mut pace = Pace::new();
        let mut queued = 0.0_f64;
        (0..steps)
            .map(|_| {
                let Effort::Level(level) = pace.effort() else { panic!("stored what shrinks") };
                let speed = 8e9 / f64::from(STEPS[pace.place].cost);
                let given: u32 = 256 << 10;
                let size = f64::from(given);
                let busy = 524288.0 / speed;
                queued = (queued - busy * bytes_per_second).max(0.0) + size;
                let waited = (queued - 262144.0).max(0.0) / bytes_per_second;
                queued = queued.min(262144.0);
                let seconds = Duration::from_secs_f64;
                pace.sent(&step(given.into(), seconds(busy), seconds(waited)));
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
        assert!(levels.iter().all(|level| *level >= 6), "{levels:?}");
    }

    #[test]
    fn a_wait_counts_for_all_that_the_link_was_given() {
        // One piece in four parts, and half of the time is waited for it.
        let mut pace = Pace::new();
        let (plain, packed) = (STEP_BYTES / 2, STEP_BYTES / 4);
        for number in 1..=400 {
            let (given, waited) =
                if number % 4 == 0 { (BYTES_MIN, 4 * MILLISECOND) } else { (0, Duration::ZERO) };
            pace.sent(&Part { plain, packed, given, busy: MILLISECOND, waited });
            assert!(pace.place >= START, "{number}");
        }
    }

    #[test]
    fn what_cannot_be_compressed_is_not_tried_for_a_daemon_that_is_busy() {
        let mut pace = Pace::new();
        let noise = |waited| step(STEP_BYTES, MILLISECOND, waited);
        (0..100).for_each(|_| pace.sent(&noise(3 * MILLISECOND)));
        assert_eq!(pace.effort(), Effort::Stored);
        // Nor is it given up on a slow link: the least effort finds less than there is.
        (0..4).for_each(|_| pace.sent(&noise(100 * MILLISECOND)));
        assert_eq!(pace.effort(), Effort::Level(15));
    }

    #[test]
    fn on_a_slow_link_what_does_not_shrink_changes_nothing() {
        let mut pace = Pace::new();
        let sent = |packed| step(packed, 30 * MILLISECOND, 170 * MILLISECOND);
        (0..20).for_each(|_| pace.sent(&sent(STEP_BYTES / 2)));
        let settled = pace.effort();
        for number in 0..20 {
            pace.sent(&sent(STEP_BYTES));
            assert_eq!(pace.effort(), settled, "{number}");
        }
    }

    #[test]
    fn what_was_stored_is_looked_at_again() {
        let mut pace = Pace::new();
        let sent = |packed| step(packed, MILLISECOND, Duration::ZERO);
        (0..10).for_each(|_| pace.sent(&sent(STEP_BYTES)));
        assert_eq!(pace.effort(), Effort::Stored);
        let stored = (0..1000).take_while(|_| {
            pace.sent(&sent(STEP_BYTES));
            pace.effort() == Effort::Stored
        });
        assert!(stored.count() as u64 <= STORED_BYTES / STEP_BYTES);
        // From here on it shrinks.
        for _ in 0..100 {
            pace.sent(&sent(STEP_BYTES / 2));
            assert_eq!(pace.effort(), Effort::Level(LEVEL_MIN));
        }
    }

    #[test]
    fn what_only_levels_above_0_make_smaller_is_not_stored() {
        // Hexadecimal digits: nothing repeats, but half of each byte is known.
        let mut pace = Pace::new();
        (0..10).for_each(|_| pace.sent(&step(STEP_BYTES, MILLISECOND, Duration::ZERO)));
        let efforts: Vec<Effort> = (0..200)
            .map(|_| {
                let (packed, busy) = match pace.effort() {
                    Effort::Stored | Effort::Level(..0) => (STEP_BYTES, MILLISECOND),
                    Effort::Level(_) => (STEP_BYTES / 2, 2 * MILLISECOND),
                };
                pace.sent(&step(packed, busy, 4 * MILLISECOND));
                pace.effort()
            })
            .collect();
        let shrunk = efforts.iter().filter(|effort| matches!(effort, Effort::Level(1..)));
        assert!(shrunk.count() > 150, "{efforts:?}");
    }

    #[test]
    fn a_link_that_becomes_slow_gets_more_at_once() {
        let mut pace = Pace::new();
        let sent = |waited| step(STEP_BYTES / 2, MILLISECOND, waited);
        (0..40).for_each(|_| pace.sent(&sent(Duration::ZERO)));
        assert_eq!(pace.effort(), Effort::Level(LEVEL_MIN));
        (0..3).for_each(|_| pace.sent(&sent(Duration::from_secs(1))));
        assert_eq!(pace.effort(), Effort::Level(15));
    }

    #[test]
    fn the_level_in_between_is_kept() {
        let levels = levels(200, 2e7);
        let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes < 16, "{changes} changes: {levels:?}");
        assert!(levels[20..].iter().all(|level| (1..15).contains(level)), "{levels:?}");
    }
}
