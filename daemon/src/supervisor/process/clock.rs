//! Counting the time in which a command could work: while it waits for its user, its clock stands.
//! Pure: is told the time, reads no clock.
//!
//! Whoever follows the command tells when it waits and when it goes on. Of a command that somebody
//! talks to, nothing is certain while nobody follows it: it may have asked something. Its time is
//! over then only if it is so a day later, or once it is followed again.

use std::time::{Duration, Instant};

use crate::supervisor::job::Reads;
use crate::supervisor::message::Pace;

/// How long a command may wait in all: what has not been answered in a month never will be.
const WAITS_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long a command goes on that nobody follows when its time is over.
const UNHEARD_MAX: Duration = Duration::from_secs(24 * 3600);

/// The clock of one command, from its start on.
#[derive(Debug)]
pub(super) struct Clock {
    /// None: it may work for ever.
    limit: Option<Duration>,
    reads: Reads,
    pace: Pace,
    /// Since when it is like that.
    since: Instant,
    /// How long it has worked before, and waited.
    worked: Duration,
    waited: Duration,
    /// The number of the event that told the pace.
    told: u64,
}

impl Clock {
    pub(super) const fn start(limit: Option<Duration>, reads: Reads, now: Instant) -> Self {
        let (worked, waited) = (Duration::ZERO, Duration::ZERO);
        Self { limit, reads, pace: Pace::Works, since: now, worked, waited, told: 0 }
    }

    /// Takes the news that the command waits, or goes on, since the event of this number; of an
    /// earlier one they are no news. It waits since it wrote last: it may have been told late.
    pub(super) fn tell(&mut self, event: u64, pace: Pace, now: Instant, wrote_at: Instant) {
        if event <= self.told {
            return;
        }
        self.told = event;
        match (self.pace, pace) {
            (Pace::Works, Pace::Waits) => {
                let began = wrote_at.max(self.since).min(now);
                self.worked += began.duration_since(self.since);
                self.since = began;
            }
            (Pace::Waits, Pace::Works) => {
                self.waited += now.duration_since(self.since);
                self.since = now;
            }
            (Pace::Works, Pace::Works) | (Pace::Waits, Pace::Waits) => {}
        }
        self.pace = pace;
    }

    /// Tells when its time is over, if nothing else is told; `is_followed` says whether somebody
    /// would.
    pub(super) fn deadline(&self, is_followed: bool) -> Option<Instant> {
        let limit = self.limit?;
        let left = match self.pace {
            Pace::Waits => WAITS_MAX.saturating_sub(self.waited),
            Pace::Works => {
                let unheard = match self.reads {
                    Reads::Pipe if !is_followed => UNHEARD_MAX,
                    Reads::Pipe | Reads::Nothing => Duration::ZERO,
                };
                limit.saturating_sub(self.worked).saturating_add(unheard)
            }
        };
        self.since.checked_add(left)
    }

    /// The limit that ends it at its deadline.
    pub(super) fn limit_seconds(&self) -> u64 {
        match self.pace {
            Pace::Waits => WAITS_MAX.as_secs(),
            Pace::Works => self.limit.unwrap_or_default().as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> (Instant, Clock) {
        let start = Instant::now();
        (start, Clock::start(Some(SECOND * 10), Reads::Pipe, start))
    }

    #[test]
    fn only_the_time_in_which_it_works_counts() {
        let (start, mut clock) = clock();
        let at = |second| start + SECOND * second;
        assert_eq!(clock.deadline(true), Some(at(10)));
        clock.tell(3, Pace::Waits, at(4), at(4));
        assert_eq!(clock.deadline(true), Some(at(4) + WAITS_MAX));
        assert_eq!(clock.limit_seconds(), WAITS_MAX.as_secs());
        clock.tell(4, Pace::Works, at(1000), at(4));
        assert_eq!(clock.deadline(true), Some(at(1006)));
        assert_eq!(clock.limit_seconds(), 10);
        clock.tell(7, Pace::Waits, at(1005), at(1005));
        clock.tell(9, Pace::Works, at(2000), at(1005));
        assert_eq!(clock.deadline(true), Some(at(2001)));
    }

    #[test]
    fn what_is_told_again_or_late_changes_nothing() {
        let (start, mut clock) = clock();
        let at = |second| start + SECOND * second;
        clock.tell(3, Pace::Waits, at(4), at(4));
        clock.tell(3, Pace::Waits, at(5), at(5));
        clock.tell(4, Pace::Works, at(6), at(5));
        // From a daemon that has gone.
        clock.tell(3, Pace::Waits, at(7), at(7));
        clock.tell(4, Pace::Works, at(8), at(7));
        assert_eq!(clock.deadline(true), Some(at(12)));
        clock.tell(6, Pace::Works, at(9), at(8));
        assert_eq!(clock.deadline(true), Some(at(12)));
    }

    #[test]
    fn it_waits_since_it_wrote_last_although_nobody_was_there_to_hear_it() {
        let (start, mut clock) = clock();
        let at = |second| start + SECOND * second;
        clock.tell(2, Pace::Works, at(1), at(0));
        assert_eq!(clock.deadline(false), Some(at(10) + UNHEARD_MAX));
        clock.tell(5, Pace::Waits, at(5000), at(3));
        clock.tell(6, Pace::Works, at(6000), at(3));
        assert_eq!(clock.deadline(true), Some(at(6007)));
        // It never waits since before it went on.
        clock.tell(8, Pace::Waits, at(6001), at(3));
        clock.tell(9, Pace::Works, at(6002), at(3));
        assert_eq!(clock.deadline(true), Some(at(6009)));
    }

    #[test]
    fn waiting_has_an_end_and_a_command_that_nobody_talks_to_never_waits_unheard() {
        let (start, mut clock) = clock();
        clock.tell(1, Pace::Waits, start, start);
        clock.tell(2, Pace::Works, start + WAITS_MAX, start);
        clock.tell(3, Pace::Waits, start + WAITS_MAX, start + WAITS_MAX);
        assert_eq!(clock.deadline(true), Some(start + WAITS_MAX));
        let plain = Clock::start(Some(SECOND), Reads::Nothing, start);
        assert_eq!(plain.deadline(false), Some(start + SECOND));
        let mut endless = Clock::start(None, Reads::Pipe, start);
        endless.tell(1, Pace::Waits, start, start);
        assert_eq!(endless.deadline(false), None);
    }
}
