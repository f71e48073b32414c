//! A run's name: chosen by the user or made from the command.

use std::fmt;

use thiserror::Error;

use super::RunId;

/// Longest name, in characters.
pub const NAME_LEN_MAX: usize = 40;

/// How many characters of the id a default name ends with: enough that two runs of the same
/// command in one day hardly ever clash, short enough to type.
const ID_CHARS_IN_NAME: usize = 4;

/// A run's name: `[a-z0-9][a-z0-9-]{0,39}`, unique per user and remote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunName(String);

/// The text is not a run name.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "name {0:?} is not allowed: use 1 to 40 of a-z, 0-9 and '-', starting with a letter or digit"
)]
pub struct NameError(pub String);

impl RunName {
    /// Parses a name.
    ///
    /// # Errors
    /// When the text is not a run name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=NAME_LEN_MAX).contains(&text.len());
        if fits && text.chars().all(allowed) && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }

    /// Makes the default name: the command's program and first words, then a few characters of
    /// the id.
    #[must_use]
    pub fn for_command(command: &[Vec<u8>], id: &RunId) -> Self {
        let room = NAME_LEN_MAX - ID_CHARS_IN_NAME - 1;
        let mut slug = String::new();
        for (position, word) in command.iter().enumerate() {
            let word = match position {
                0 => word.rsplit(|byte| *byte == b'/').next().unwrap_or(word),
                _ => word,
            };
            for byte in word {
                let c = char::from(byte.to_ascii_lowercase());
                if c.is_ascii_lowercase() || c.is_ascii_digit() {
                    slug.push(c);
                } else if !slug.is_empty() && !slug.ends_with('-') {
                    slug.push('-');
                }
            }
            if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(room);
        let slug = slug.trim_matches('-');
        let tail = &id.as_str()[..ID_CHARS_IN_NAME];
        Self(if slug.is_empty() { format!("run-{tail}") } else { format!("{slug}-{tail}") })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_default_name_tells_the_command() {
        let id = RunId::from_random([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let words =
            |words: &[&str]| words.iter().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>();
        let name = |command: &[&str]| RunName::for_command(&words(command), &id).to_string();
        assert_eq!(name(&["/usr/bin/make", "-j8", "test"]), "make-j8-test-abcd");
        assert_eq!(
            name(&["cargo", "test", "-p", "handoff-proto"]),
            "cargo-test-p-handoff-proto-abcd"
        );
        assert_eq!(name(&["…"]), "run-abcd");
    }

    proptest! {
        #[test]
        fn every_default_name_is_a_name(
            command in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6),
            random in any::<[u8; 10]>(),
        ) {
            let name = RunName::for_command(&command, &RunId::from_random(random));
            prop_assert_eq!(RunName::parse(name.as_str()), Ok(name));
        }
    }
}
