//! How long a turn's command could work: not while it waits for its user, or stands still. By the
//! daemon's clock; its supervisor has one of its own, by which it enforces the limit.

use super::State;

/// The time in which the command of the present turn could work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkTime {
    /// Before it waited last, in nanoseconds.
    pub before_nanos: i64,
    /// Since when it works, in nanoseconds since the Unix epoch; none while it does not.
    pub since_unix_nanos: Option<i64>,
}

impl WorkTime {
    /// Takes note of the state that the run is in from now on.
    pub(super) fn enter(&mut self, state: &State, at_unix_nanos: i64) {
        match (state, self.since_unix_nanos) {
            (State::Queued, _) => *self = Self::default(),
            (State::Running, None) => self.since_unix_nanos = Some(at_unix_nanos),
            (State::Running, Some(_)) => {}
            (
                State::Preparing
                | State::NeedsInput(_)
                | State::Paused
                | State::Verifying(_)
                | State::Finished(_),
                since,
            ) => {
                // A clock that was put back takes nothing away.
                let more = since.map_or(0, |since| at_unix_nanos.saturating_sub(since).max(0));
                self.before_nanos = self.before_nanos.saturating_add(more);
                self.since_unix_nanos = None;
            }
        }
    }
}
