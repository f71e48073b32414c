//! Names of references, checked as `git check-ref-format` does.

use std::fmt;

use crate::path::escaped;

/// The longest name in bytes: it is a path beneath the git directory with `.lock` after it.
const REF_NAME_MAX: usize = 4000;

/// The rule that a name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefNameError {
    /// Anything outside `refs/`, such as a pseudo-reference.
    #[error("it does not begin with `refs/`")]
    OutsideRefs,
    /// A slash at the end, or two in a row.
    #[error("it has an empty component")]
    EmptyComponent,
    /// A component that begins with a dot.
    #[error("a component begins with a dot")]
    LeadingDot,
    /// A component that ends in `.lock`.
    #[error("a component ends in `.lock`")]
    Lock,
    /// `..` or `@{`, which have a meaning in revisions.
    #[error("it holds `..` or `@{{`")]
    Sequence,
    /// A control character, space, `~`, `^`, `:`, `?`, `*`, `[` or backslash.
    #[error("it holds a character that git forbids")]
    Character,
    /// A dot at the end.
    #[error("it ends in a dot")]
    TrailingDot,
    /// Over 4000 bytes, or a component over 250.
    #[error("it is too long")]
    Long,
}

/// The full name of a reference, such as `refs/heads/main`; valid by construction.
///
/// `Display` escapes, so that a name may be printed to a terminal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(Box<[u8]>);

impl RefName {
    /// Parses a full name.
    ///
    /// # Errors
    ///
    /// Whatever `git check-ref-format` refuses, names outside `refs/` and names that are too long
    /// to be files.
    pub fn parse(name: &[u8]) -> Result<Self, RefNameError> {
        if !name.starts_with(b"refs/") {
            return Err(RefNameError::OutsideRefs);
        }
        if name.len() > REF_NAME_MAX {
            return Err(RefNameError::Long);
        }
        if name.iter().any(|&byte| is_forbidden(byte)) {
            return Err(RefNameError::Character);
        }
        if name.windows(2).any(|pair| pair == b".." || pair == b"@{") {
            return Err(RefNameError::Sequence);
        }
        name.split(|&byte| byte == b'/').try_for_each(check_component)?;
        if name.ends_with(b".") {
            return Err(RefNameError::TrailingDot);
        }
        Ok(Self(name.into()))
    }

    /// The full name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What follows `refs/heads/`; `None` for a reference that is no branch.
    #[must_use]
    pub fn branch(&self) -> Option<&[u8]> {
        self.0.strip_prefix(b"refs/heads/")
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escaped(&self.0))
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl std::str::FromStr for RefName {
    type Err = RefNameError;

    fn from_str(text: &str) -> Result<Self, RefNameError> {
        Self::parse(text.as_bytes())
    }
}

fn is_forbidden(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || b"~^:?*[\\".contains(&byte)
}

fn check_component(component: &[u8]) -> Result<(), RefNameError> {
    // A component is a file name that must leave room for `.lock`.
    const COMPONENT_MAX: usize = 250;
    match component {
        b"" => Err(RefNameError::EmptyComponent),
        [b'.', ..] => Err(RefNameError::LeadingDot),
        _ if component.ends_with(b".lock") => Err(RefNameError::Lock),
        _ if component.len() > COMPONENT_MAX => Err(RefNameError::Long),
        _ => Ok(()),
    }
}
