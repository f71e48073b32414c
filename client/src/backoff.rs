//! Pauses between attempts: short at first, longer and longer up to a limit, never quite the same:
//! clients that lost one daemon together must not come back together.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(250);

/// The pauses between attempts at the same thing.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses that never get longer than `max`.
    #[must_use]
    pub fn new(max: Duration) -> Self {
        Self { next: FIRST.min(max), max }
    }

    /// The next pause, which is about twice as long as the last one.
    pub fn pause(&mut self) -> Duration {
        let mut random = [0; 1];
        if getrandom::fill(&mut random).is_err() {
            // All pauses are the longest ones then, which is only less polite.
            random = [0];
        }
        self.pause_less(random[0])
    }

    /// The next pause, shorter by up to a quarter: by as many parts in 1024 as `parts` says.
    fn pause_less(&mut self, parts: u8) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(self.max);
        longest - longest * u32::from(parts) / 1024
    }

    /// Starts again with the shortest one, after an attempt that went well.
    pub fn reset(&mut self) {
        *self = Self::new(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let pauses: Vec<_> = (0..4).map(|_| backoff.pause_less(0).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.pause_less(0).as_millis(), 250);
    }

    #[test]
    fn a_pause_is_at_most_a_quarter_shorter() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        assert_eq!(backoff.pause_less(u8::MAX).as_micros(), 187_744);
        for longest in [500, 1000, 1000] {
            let pause = backoff.pause().as_millis();
            assert!((longest * 3 / 4..=longest).contains(&pause), "{pause} of {longest}");
        }
    }
}
