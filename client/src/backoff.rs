//! Pauses between attempts: short at first, longer and longer up to a limit.

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

    /// The next pause, which is twice as long as the last one.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause
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
        let pauses: Vec<_> = (0..4).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.pause().as_millis(), 250);
    }
}
