//! How much is measured.

/// Full trees, on which targets are judged, or a tenth of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Quick,
    Full,
}

impl Scale {
    /// As on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    /// A full tree's bytes or files on this scale.
    pub(super) const fn of(self, full: u64) -> u64 {
        match self {
            Self::Quick => full / 10,
            Self::Full => full,
        }
    }
}

/// How often each side of a comparison is measured.
pub(super) const REPETITIONS: u64 = 5;

/// The same over the slow link, where a repetition takes many seconds and hardly varies.
pub(super) const SLOW_REPETITIONS: u64 = 3;
