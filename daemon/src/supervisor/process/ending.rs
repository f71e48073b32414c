//! Deciding when a command is asked to end and when it is killed. Pure: is told the time, reads no
//! clock and sends no signal.
//!
//! ```text
//! going ── deadline, stop ──▶ asked (TERM) ── grace over, kill ──▶ killed
//!   └─────────────── too much written to the disk ────────────────────▲
//! ```

use std::time::{Duration, Instant};

use crate::supervisor::disk_limits::Breach;

/// Decides over one command.
#[derive(Debug)]
pub(super) struct Ending {
    deadline: Option<Instant>,
    /// How long the command may go on after its deadline.
    grace: Duration,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    Going,
    /// None: there is no time at which it is killed.
    Asked {
        cause: Cause,
        kill_at: Option<Instant>,
    },
    Killed {
        cause: Cause,
    },
}

/// Tells why a command has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its time is over.
    Deadline,
    /// Somebody stopped it.
    Stop,
    /// It did with the disk what it may not.
    Disk(Breach),
}

/// What is to be done now; the greater one includes the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// Ask it to end.
    Ask,
    /// Kill it and all that belongs to it.
    Kill,
}

impl Ending {
    pub(super) const fn new(deadline: Option<Instant>, grace: Duration) -> Self {
        Self { deadline, grace, progress: Progress::Going }
    }

    /// Takes the news that its time is over at another time. What was asked to end stays so.
    pub(super) const fn move_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Takes a request to stop. A later one can only shorten the grace.
    pub(super) fn stop(&mut self, now: Instant, grace: Duration) -> Option<Act> {
        let wanted = now.checked_add(grace);
        match self.progress {
            Progress::Going => Some(self.ask(Cause::Stop, wanted)),
            Progress::Asked { cause, kill_at } => {
                let kill_at = match (kill_at, wanted) {
                    (Some(earlier), Some(wanted)) => Some(earlier.min(wanted)),
                    (one, other) => one.or(other),
                };
                self.progress = Progress::Asked { cause, kill_at };
                None
            }
            Progress::Killed { .. } => None,
        }
    }

    /// Takes a request to kill.
    pub(super) fn kill(&mut self) -> Option<Act> {
        self.kill_for(Cause::Stop)
    }

    /// Takes the news that the disk suffers. There is no grace, which would be spent writing.
    pub(super) fn exceed(&mut self, breach: Breach) -> Option<Act> {
        self.kill_for(Cause::Disk(breach))
    }

    /// An earlier cause stays the cause.
    fn kill_for(&mut self, cause: Cause) -> Option<Act> {
        let cause = match self.progress {
            Progress::Going => cause,
            Progress::Asked { cause, .. } => cause,
            Progress::Killed { .. } => return None,
        };
        self.progress = Progress::Killed { cause };
        Some(Act::Kill)
    }

    /// Tells what the time demands.
    pub(super) fn due(&mut self, now: Instant) -> Option<Act> {
        match self.progress {
            Progress::Going => {
                self.deadline.filter(|deadline| *deadline <= now)?;
                // One that became known late shortens no grace.
                Some(self.ask(Cause::Deadline, now.checked_add(self.grace)))
            }
            Progress::Asked { kill_at, .. } => {
                kill_at.filter(|kill_at| *kill_at <= now)?;
                self.kill()
            }
            Progress::Killed { .. } => None,
        }
    }

    /// Tells when to ask [`Ending::due`] again.
    pub(super) const fn wake_at(&self) -> Option<Instant> {
        match self.progress {
            Progress::Going => self.deadline,
            Progress::Asked { kill_at, .. } => kill_at,
            Progress::Killed { .. } => None,
        }
    }

    /// Tells why the command has to end, if it has to.
    pub(super) const fn cause(&self) -> Option<Cause> {
        match self.progress {
            Progress::Going => None,
            Progress::Asked { cause, .. } | Progress::Killed { cause } => Some(cause),
        }
    }

    fn ask(&mut self, cause: Cause, kill_at: Option<Instant>) -> Act {
        self.progress = Progress::Asked { cause, kill_at };
        Act::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ending(limit: u32) -> (Instant, Ending) {
        let start = Instant::now();
        (start, Ending::new(Some(start + SECOND * limit), SECOND * 2))
    }

    #[test]
    fn a_command_whose_time_is_over_is_asked_and_then_killed() {
        let (start, mut ending) = ending(10);
        assert_eq!(ending.due(start + SECOND * 9), None);
        assert_eq!(ending.wake_at(), Some(start + SECOND * 10));
        assert_eq!(ending.due(start + SECOND * 10), Some(Act::Ask));
        assert_eq!(ending.cause(), Some(Cause::Deadline));
        assert_eq!(ending.wake_at(), Some(start + SECOND * 12));
        assert_eq!(ending.due(start + SECOND * 11), None);
        assert_eq!(ending.due(start + SECOND * 12), Some(Act::Kill));
        assert_eq!(ending.due(start + SECOND * 99), None);
        assert_eq!(ending.wake_at(), None);
    }

    #[test]
    fn a_deadline_that_moves_counts_until_it_has_come() {
        let (start, mut ending) = ending(10);
        ending.move_deadline(Some(start + SECOND * 30));
        assert_eq!(ending.due(start + SECOND * 20), None);
        ending.move_deadline(Some(start + SECOND * 5));
        assert_eq!(ending.due(start + SECOND * 20), Some(Act::Ask));
        ending.move_deadline(Some(start + SECOND * 99));
        assert_eq!(ending.wake_at(), Some(start + SECOND * 22), "with all of its grace");
        assert_eq!(ending.due(start + SECOND * 22), Some(Act::Kill));
        assert_eq!(ending.cause(), Some(Cause::Deadline));
    }

    #[test]
    fn a_stop_has_its_own_grace_and_stays_the_cause() {
        let (start, mut ending) = ending(10);
        assert_eq!(ending.stop(start, SECOND * 30), Some(Act::Ask));
        assert_eq!(ending.due(start + SECOND * 11), None);
        assert_eq!(ending.due(start + SECOND * 30), Some(Act::Kill));
        assert_eq!(ending.cause(), Some(Cause::Stop));
    }

    #[test]
    fn a_second_stop_only_shortens_the_grace() {
        let (start, mut ending) = ending(10);
        ending.stop(start, SECOND * 5);
        assert_eq!(ending.stop(start, SECOND * 9), None);
        assert_eq!(ending.wake_at(), Some(start + SECOND * 5));
        assert_eq!(ending.stop(start, SECOND), None);
        assert_eq!(ending.wake_at(), Some(start + SECOND));
    }

    #[test]
    fn a_kill_comes_once_and_nothing_after_it() {
        let (start, mut ending) = ending(10);
        assert_eq!(ending.kill(), Some(Act::Kill));
        assert_eq!(ending.kill(), None);
        assert_eq!(ending.stop(start, SECOND), None);
        assert_eq!(ending.due(start + SECOND * 99), None);
        assert_eq!(ending.cause(), Some(Cause::Stop));
    }

    #[test]
    fn whoever_fills_the_disk_is_killed_without_grace() {
        let (start, mut ending) = ending(10);
        let breach = Breach::Bytes(1);
        assert_eq!(ending.exceed(breach), Some(Act::Kill));
        assert_eq!(ending.exceed(breach), None);
        assert_eq!(ending.cause(), Some(Cause::Disk(breach)));
        let mut ending = Ending::new(None, SECOND);
        ending.stop(start, SECOND);
        assert_eq!(ending.exceed(breach), Some(Act::Kill));
        assert_eq!(ending.cause(), Some(Cause::Stop), "it was to end anyway");
    }

    #[test]
    fn without_a_limit_nothing_is_ever_due() {
        let mut ending = Ending::new(None, SECOND);
        assert_eq!(ending.wake_at(), None);
        assert_eq!(ending.due(Instant::now() + SECOND * 1000), None);
        assert_eq!(ending.stop(Instant::now(), Duration::MAX), Some(Act::Ask));
        assert_eq!(ending.wake_at(), None);
    }
}
