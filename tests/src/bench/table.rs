//! What was measured against what was aimed at.

use std::fmt;

use super::{
    sample::{Sample, Unit, quantity},
    scale::{REPETITIONS, SLOW_REPETITIONS, Scale},
};

/// One comparison.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) ours: Sample,
    pub(super) target: Target,
    /// What must hold besides, and did not.
    pub(super) broken: Vec<String>,
    /// Other figures of the same run, which are not judged.
    pub(super) beside: Vec<(&'static str, Sample)>,
}

/// What is aimed at.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// At most so many times the median of this.
    Times { at_most: f64, rival: &'static str, sample: Sample },
    /// At most so many bytes.
    Bytes { at_most: f64 },
}

impl Line {
    pub(super) fn new(what: impl Into<String>, ours: Sample, target: Target) -> Self {
        Self { what: what.into(), ours, target, broken: Vec::new(), beside: Vec::new() }
    }

    /// Adds a figure that is not judged.
    pub(super) fn beside(mut self, name: &'static str, sample: Sample) -> Self {
        self.beside.push((name, sample));
        self
    }

    /// How many times the target's base was needed; the target is to be at or below its own.
    fn ratio(&self) -> f64 {
        match &self.target {
            Target::Times { sample, .. } => self.ours.median() / sample.median(),
            Target::Bytes { at_most } => self.ours.median() / at_most,
        }
    }

    fn at_most(&self) -> f64 {
        match self.target {
            Target::Times { at_most, .. } => at_most,
            Target::Bytes { .. } => 1.0,
        }
    }

    /// Whether the target is met and everything else held; what could not be compared does not.
    pub(super) fn passes(&self) -> bool {
        self.broken.is_empty() && self.ratio() <= self.at_most()
    }

    fn verdict(&self) -> String {
        let verdict = if self.passes() { "PASS" } else { "MISS" };
        if self.broken.is_empty() {
            verdict.to_owned()
        } else {
            format!("{verdict}: {}", self.broken.join("; "))
        }
    }

    fn against(&self) -> String {
        match &self.target {
            Target::Times { rival, sample, .. } => format!("{rival} {sample}"),
            Target::Bytes { at_most } => quantity(Unit::Bytes, *at_most),
        }
    }

    fn beside_text(&self) -> String {
        let each = self.beside.iter().map(|(name, sample)| format!("{name} {sample}"));
        each.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, ours, against) = (&self.what, &self.ours, self.against());
        write!(f, "{:4} {what}: {ours} against {against}", self.verdict())?;
        write!(f, ", ratio {:.2}, at most {:.2}", self.ratio(), self.at_most())?;
        let beside = self.beside_text();
        if beside.is_empty() { Ok(()) } else { write!(f, " [{beside}]") }
    }
}

/// The table as it stands in the README.
pub(super) fn markdown(scale: Scale, machine: &str, lines: &[Line]) -> String {
    let mut text = format!(
        "`tests/bench --{}` on {machine}. Medians of {REPETITIONS} (slow link: \
         {SLOW_REPETITIONS}) with the least and the most; ours and the rival alternate; the page \
         cache is warm for both.\n\n\
         | what | handoff | against | ratio | at most | | beside |\n\
         |---|---|---|---|---|---|---|\n",
        scale.name(),
    );
    for line in lines {
        let (what, ours, against) = (&line.what, &line.ours, line.against());
        let (ratio, at_most) = (line.ratio(), line.at_most());
        let (verdict, beside) = (line.verdict(), line.beside_text());
        text.push_str(&format!(
            "| {what} | {ours} | {against} | {ratio:.2} | {at_most:.2} | {verdict} | {beside} |\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(values: &[f64]) -> Sample {
        let mut sample = Sample::seconds();
        values.iter().for_each(|value| sample.push(*value));
        sample
    }

    fn line(ours: &[f64], rival: &[f64]) -> Line {
        let target = Target::Times { at_most: 0.5, rival: "rsync", sample: seconds(rival) };
        Line::new("x", seconds(ours), target)
    }

    #[test]
    fn medians_are_compared_and_the_limit_itself_passes() {
        assert!(line(&[1.0, 9.0, 1.0], &[2.0, 2.0, 0.1]).passes());
        assert!(!line(&[1.1], &[2.0]).passes());
    }

    #[test]
    fn what_was_not_measured_does_not_pass() {
        assert!(!line(&[], &[2.0]).passes());
        assert!(!line(&[1.0], &[]).passes());
    }

    #[test]
    fn a_broken_condition_is_a_miss_that_says_why() {
        let mut line = line(&[1.0], &[9.0]);
        line.broken.push("two runs".to_owned());
        assert!(!line.passes());
        assert!(line.to_string().starts_with("MISS: two runs"), "{line}");
    }
}
