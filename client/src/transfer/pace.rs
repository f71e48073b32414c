//! How much effort compression is worth: on a fast link the processor must not be the limit, on a
//! slow one the bytes must not be.
//!
//! Pure: whoever sends says how long it worked and how long it waited for the link.

use std::time::Duration;

use handoff_proto::bundle::LEVEL_MIN;

/// Levels of zstd, each about twice the work of the one before, from copying to the most that
/// keeps up with a few megabytes a second.
const LEVELS: [i32; 7] = [LEVEL_MIN, 1, 3, 6, 9, 12, 15];

/// Where to begin: what suits a local network.
const START: usize = 1;

/// Plain bytes between two decisions.
const STEP_BYTES: u64 = 1 << 20;

/// A level that turned out to be too much is tried again after this many plain bytes: links change.
const RETRY_BYTES: u64 = 64 << 20;

/// The effort that suits the link, found while sending.
#[derive(Debug)]
pub(super) struct Pace {
    place: usize,
    plain: u64,
    busy: Duration,
    waited: Duration,
    /// The place that the processor did not manage, and how many plain bytes ago that was.
    too_much: Option<(usize, u64)>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            place: START,
            plain: 0,
            busy: Duration::ZERO,
            waited: Duration::ZERO,
            too_much: None,
        }
    }

    /// The level for what comes next.
    pub(super) const fn level(&self) -> i32 {
        LEVELS[self.place]
    }

    /// Takes note of a part that was sent: its plain size, how long the processor worked on it, and
    /// how long the link did not take it.
    pub(super) fn sent(&mut self, plain: u64, busy: Duration, waited: Duration) {
        self.plain += plain;
        self.busy += busy;
        self.waited += waited;
        if self.plain < STEP_BYTES {
            return;
        }
        self.too_much = self
            .too_much
            .map(|(place, ago)| (place, ago + self.plain))
            .filter(|(_, ago)| *ago < RETRY_BYTES);
        self.decide();
        (self.plain, self.busy, self.waited) = (0, Duration::ZERO, Duration::ZERO);
    }

    fn decide(&mut self) {
        let ceiling = self.too_much.map_or(LEVELS.len(), |(place, _)| place) - 1;
        if self.waited > 8 * self.busy {
            self.place = (self.place + 2).min(ceiling.max(self.place));
        } else if self.waited > self.busy {
            self.place = (self.place + 1).min(ceiling.max(self.place));
        } else if self.waited < self.busy / 8 && self.place > 0 {
            self.too_much = Some((self.place, 0));
            self.place -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends this many MiB over a link of so many bytes a second; compression halves the size and
    /// each level costs twice the one before. Returns the levels used.
    fn levels(mebibytes: u64, bytes_per_second: f64) -> Vec<i32> {
        let mut pace = Pace::new();
        (0..mebibytes)
            .map(|_| {
                let level = pace.level();
                let place = LEVELS.iter().position(|known| *known == level).unwrap_or_default();
                let speed = 2e9 / f64::from(1_u32 << (2 * place));
                let size = if place == 0 { 1048576.0 } else { 524288.0 };
                let busy = 1048576.0 / speed;
                let waited = (size / bytes_per_second - busy).max(0.0);
                let seconds = Duration::from_secs_f64;
                pace.sent(STEP_BYTES, seconds(busy), seconds(waited));
                level
            })
            .collect()
    }

    #[test]
    fn a_link_faster_than_compression_gets_none() {
        let levels = levels(100, 5e9);
        assert!(levels[2..].iter().filter(|level| **level == LEVEL_MIN).count() > 95, "{levels:?}");
    }

    #[test]
    fn a_slow_link_gets_the_most() {
        let levels = levels(100, 1e5);
        assert_eq!(levels[3..].iter().min(), Some(&15), "{levels:?}");
    }

    #[test]
    fn the_level_in_between_is_kept() {
        let levels = levels(200, 2e7);
        let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes < 16, "{changes} changes: {levels:?}");
        assert!(levels[20..].iter().all(|level| (1..15).contains(level)), "{levels:?}");
    }
}
