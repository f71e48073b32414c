//! When to measure next, so that measuring costs little and a limit is not missed by much. Pure.

use std::time::Duration;

/// Least time between two measurements.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);

/// So much longer is a pause than the measurement before it: 3 percent of a processor.
const PAUSE_FACTOR: u32 = 33;

/// The same where there is a reason to hurry: the disk has lost more room than the job has left.
const HURRY_FACTOR: u32 = 4;

/// Tells whether it is time to measure again.
///
/// `cost` is the processor time of the last measurement, `since` the time since it ended.
pub(super) fn is_due(cost: Duration, since: Duration, in_a_hurry: bool) -> bool {
    match in_a_hurry {
        true => since >= cost * HURRY_FACTOR,
        false => since >= (cost * PAUSE_FACTOR).max(PAUSE_MIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measuring_takes_a_few_percent_of_a_processor_at_most() {
        for (cost_ms, pause_ms) in [(0, 1000), (10, 1000), (100, 3300), (60_000, 1_980_000)] {
            let (cost, pause) = (Duration::from_millis(cost_ms), Duration::from_millis(pause_ms));
            assert!(!is_due(cost, pause - Duration::from_millis(1), false));
            assert!(is_due(cost, pause, false));
            assert!(cost <= (pause + cost).mul_f64(0.03));
        }
    }

    #[test]
    fn whoever_fills_the_disk_is_looked_at_at_once() {
        assert!(is_due(Duration::from_millis(1), Duration::from_millis(4), true));
        assert!(!is_due(Duration::from_secs(1), Duration::from_secs(3), true));
    }
}
