//! Repeated measurements of one thing.

use std::fmt;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Bytes,
}

/// Repetitions of one measurement, in the order in which they were made.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    unit: Unit,
    values: Vec<f64>,
}

impl Sample {
    pub(super) const fn new(unit: Unit) -> Self {
        Self { unit, values: Vec::new() }
    }

    pub(super) const fn seconds() -> Self {
        Self::new(Unit::Seconds)
    }

    pub(super) const fn bytes() -> Self {
        Self::new(Unit::Bytes)
    }

    pub(super) fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// Adds a count of bytes.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
    pub(super) fn push_bytes(&mut self, bytes: u64) {
        self.push(bytes as f64);
    }

    /// The middle value, or the mean of the two in the middle; NaN if there is none.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[count / 2],
            count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", quantity(self.unit, self.median()))?;
        match self.sorted()[..] {
            [least, .., most] => {
                write!(f, " ({}..{})", quantity(self.unit, least), quantity(self.unit, most))
            }
            _ => Ok(()),
        }
    }
}

/// A value with its unit, in three significant digits or so.
pub(super) fn quantity(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds if value < 0.1 => format!("{:.1} ms", value * 1e3),
        Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Bytes if value < 10_240.0 => format!("{value:.0} B"),
        Unit::Bytes if value < 10_485_760.0 => format!("{:.0} KiB", value / 1024.0),
        Unit::Bytes => format!("{:.1} MiB", value / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Sample {
        Sample { unit: Unit::Seconds, values: values.to_vec() }
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert!((of(&[3.0, 1.0, 2.0]).median() - 2.0).abs() < f64::EPSILON);
        assert!((of(&[4.0, 1.0, 2.0, 3.0]).median() - 2.5).abs() < f64::EPSILON);
        assert!(of(&[]).median().is_nan());
    }

    #[test]
    fn noise_is_shown_from_least_to_most() {
        assert_eq!(of(&[2.0, 0.5, 1.0]).to_string(), "1.00 s (500 ms..2.00 s)");
        assert_eq!(of(&[2.0]).to_string(), "2.00 s");
    }
}
