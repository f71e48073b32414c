//! A user's name: what content, runs and certificates belong to.

use std::{fmt, sync::Arc};

use thiserror::Error;

/// Longest user name, in characters.
pub const USER_NAME_LEN_MAX: usize = 32;

/// A user of this daemon: `[a-z0-9][a-z0-9._-]{0,31}`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

/// The text is not a user name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "user name {0:?} is not allowed: use 1 to 32 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit"
)]
pub struct UserNameError(String);

impl UserName {
    /// Parses a name.
    ///
    /// # Errors
    /// When the text is not a user name.
    pub fn parse(text: &str) -> Result<Self, UserNameError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = (1..=USER_NAME_LEN_MAX).contains(&text.len());
        if fits && text.starts_with(plain) && text.chars().all(|c| plain(c) || "._-".contains(c)) {
            Ok(Self(text.into()))
        } else {
            Err(UserNameError(text.chars().take(2 * USER_NAME_LEN_MAX).collect()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for name in ["a", "ada", "ada.lovelace", "0x", "a_b-c", &"a".repeat(32)] {
            assert_eq!(UserName::parse(name).map(|user| user.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for name in ["", ".", "-a", "_a", "Ada", "a/b", "a b", "é", "a\0", &"a".repeat(33)] {
            assert!(UserName::parse(name).is_err(), "{name:?}");
        }
    }
}
