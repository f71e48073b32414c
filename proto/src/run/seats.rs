//! Who came to the terminal of a run's command, and how much of that is noted. Bounded, whatever a
//! log says.

/// How often somebody's coming is noted, of one job: more than anybody looks in by hand.
pub const SEATS_MAX: u32 = 100;

/// The seats at the terminal of the present job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    /// The attachments whose coming was noted, and whose leaving was not.
    taken: Vec<String>,
    /// How often one came.
    noted: u32,
    is_full: bool,
}

/// What is noted when somebody comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// That they came.
    Coming,
    /// That those who come from now on are not noted.
    Full,
    /// Nothing: they are there, or too many came before.
    Nothing,
}

impl Seats {
    /// What is noted when this attachment comes; one that was there before its connection broke has
    /// never left.
    #[must_use]
    pub fn coming(&self, id: &str) -> Note {
        match self {
            _ if self.is_taken_by(id) => Note::Nothing,
            Self { noted, .. } if *noted < SEATS_MAX => Note::Coming,
            Self { is_full: false, .. } => Note::Full,
            Self { is_full: true, .. } => Note::Nothing,
        }
    }

    /// Whether this attachment's coming was noted, and its leaving was not.
    #[must_use]
    pub fn is_taken_by(&self, id: &str) -> bool {
        self.taken.iter().any(|taken| taken == id)
    }

    pub(super) fn take(&mut self, id: &str) {
        self.noted = self.noted.saturating_add(1);
        if self.taken.len() < SEATS_MAX as usize && !self.is_taken_by(id) {
            self.taken.push(id.to_owned());
        }
    }

    pub(super) fn leave(&mut self, id: &str) {
        self.taken.retain(|taken| taken != id);
    }

    pub(super) const fn fill(&mut self) {
        self.is_full = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_comes_once_and_only_so_many_are_noted() {
        let mut seats = Seats::default();
        assert_eq!(seats.coming("a"), Note::Coming);
        seats.take("a");
        assert_eq!(seats.coming("a"), Note::Nothing);
        seats.leave("a");
        assert!(!seats.is_taken_by("a"));
        for _ in 1..SEATS_MAX {
            assert_eq!(seats.coming("a"), Note::Coming);
            seats.take("a");
            seats.leave("a");
        }
        assert_eq!(seats.coming("a"), Note::Full);
        seats.fill();
        assert_eq!(seats.coming("a"), Note::Nothing);
    }

    #[test]
    fn a_log_makes_no_list_without_end() {
        let mut seats = Seats::default();
        (0..3 * SEATS_MAX).for_each(|number| seats.take(&number.to_string()));
        assert_eq!(seats.taken.len(), SEATS_MAX as usize);
    }
}
