//! Paths that are safe by construction: bytes, relative to a tree's root, parsed once.
//!
//! Never touches the file system and never turns bytes into UTF-8 lossily.

mod absolute;
mod escape;
mod git_spelling;
mod unescape;

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub use self::absolute::AbsolutePath;
pub use self::escape::{escaped, harmless, is_harmful};
pub use self::git_spelling::is_git_spelling;
pub use self::unescape::unescaped;

/// The longest component in bytes (`NAME_MAX` on Linux and macOS).
pub const COMPONENT_MAX: usize = 255;

/// The longest path in bytes (`PATH_MAX` on Linux less the terminating NUL).
pub const PATH_MAX: usize = 4095;

/// Why bytes are not a path that we accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// There is nothing; the root itself is not a path in a tree.
    #[error("the path is empty")]
    Empty,
    /// A relative path was expected.
    #[error("`{0}` is absolute")]
    Absolute(String),
    /// An absolute path was expected.
    #[error("`{0}` is not absolute")]
    Relative(String),
    /// Two slashes in a row, or one at the end.
    #[error("`{0}` has an empty component")]
    EmptyComponent(String),
    /// `.` or `..`.
    #[error("`{0}` has a `.` or `..` component")]
    DotComponent(String),
    /// A NUL byte.
    #[error("`{0}` holds a NUL byte")]
    Nul(String),
    /// A slash inside what should be one component.
    #[error("`{0}` is more than one component")]
    Slash(String),
    /// A component over [`COMPONENT_MAX`].
    #[error("`{0}` has a component longer than {COMPONENT_MAX} bytes")]
    LongComponent(String),
    /// A path over [`PATH_MAX`]; the beginning is shown.
    #[error("`{0}...` is longer than {PATH_MAX} bytes")]
    Long(String),
}

/// A path beneath a tree's root: components joined by single slashes.
///
/// No component is empty, `.` or `..`, none holds a NUL byte or exceeds [`COMPONENT_MAX`], and all
/// of it is at most [`PATH_MAX`] bytes. The root itself is not representable. Any other byte is
/// legal, newlines and broken UTF-8 included. Paths sort by components, so that a directory comes
/// right before everything beneath it. `Display` escapes, so that a path may be printed to a
/// terminal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Box<[u8]>);

impl TreePath {
    /// Parses a relative path.
    ///
    /// # Errors
    ///
    /// Any rule of this type that `bytes` breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.first() == Some(&b'/') {
            return Err(PathError::Absolute(shown(bytes)));
        }
        check_components(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The path as bytes, without slashes at either end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for system calls relative to a directory descriptor of the root.
    ///
    /// Joined to another path it is only as safe as that path: symbolic links are followed.
    #[must_use]
    pub fn as_os_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The components from the top down; at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/')
    }

    /// The directory that holds this path; `None` where that is the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.split().0.map(|parent| Self(parent.into()))
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.split().1
    }

    /// Appends one component or a relative path.
    ///
    /// # Errors
    ///
    /// Where `relative` is not a path on its own or the whole gets too long.
    pub fn join(&self, relative: &[u8]) -> Result<Self, PathError> {
        if relative.first() == Some(&b'/') {
            return Err(PathError::Absolute(shown(relative)));
        }
        check_components(relative)?;
        let joined = [&self.0, relative].join(&b'/');
        if joined.len() > PATH_MAX {
            return Err(PathError::Long(shown(&joined)));
        }
        Ok(Self(joined.into()))
    }

    /// Whether this path is `directory` or beneath it.
    #[must_use]
    pub fn starts_with(&self, directory: &Self) -> bool {
        match self.0.strip_prefix(&*directory.0) {
            Some(rest) => rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// What remains of this path below `directory`; `None` if it is not beneath it.
    #[must_use]
    pub fn strip_prefix(&self, directory: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*directory.0)?.strip_prefix(b"/")?;
        Some(Self(rest.into()))
    }

    /// Whether any component is `.git` in a spelling that git refuses; see [`is_git_spelling`].
    #[must_use]
    pub fn has_git_component(&self) -> bool {
        self.components().any(is_git_spelling)
    }

    /// Appends a component that came from the kernel, which never hands out an invalid one.
    pub(crate) fn child(parent: Option<&Self>, name: &[u8]) -> Result<Self, PathError> {
        if name.contains(&b'/') {
            return Err(PathError::Slash(shown(name)));
        }
        match parent {
            Some(parent) => parent.join(name),
            None => Self::parse(name),
        }
    }

    /// The parent's bytes, if that is not the root, and the last component.
    pub(crate) fn split(&self) -> (Option<&[u8]>, &[u8]) {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (Some(&self.0[..slash]), &self.0[slash + 1..]),
            None => (None, &self.0),
        }
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_by_components(&self.0, &other.0)
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escaped(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl TryFrom<&[u8]> for TreePath {
    type Error = PathError;

    fn try_from(bytes: &[u8]) -> Result<Self, PathError> {
        Self::parse(bytes)
    }
}

impl std::str::FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text.as_bytes())
    }
}

/// Compares slash-separated bytes by components: the slash sorts before every byte of a name.
#[must_use]
pub fn compare_by_components(a: &[u8], b: &[u8]) -> Ordering {
    let shared = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    match (a.get(shared), b.get(shared)) {
        (Some(&x), Some(&y)) => rank(x).cmp(&rank(y)),
        (x, y) => x.is_some().cmp(&y.is_some()),
    }
}

/// NUL never occurs in a name, so that its rank is free for the slash.
fn rank(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

/// The rules that relative and absolute paths share, for the bytes after any leading slash.
fn check_components(bytes: &[u8]) -> Result<(), PathError> {
    if bytes.is_empty() {
        return Err(PathError::Empty);
    }
    if bytes.len() > PATH_MAX {
        return Err(PathError::Long(shown(bytes)));
    }
    if bytes.contains(&0) {
        return Err(PathError::Nul(shown(bytes)));
    }
    for component in bytes.split(|&b| b == b'/') {
        match component {
            b"" => return Err(PathError::EmptyComponent(shown(bytes))),
            b"." | b".." => return Err(PathError::DotComponent(shown(bytes))),
            _ if component.len() > COMPONENT_MAX => {
                return Err(PathError::LongComponent(shown(bytes)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The beginning of hostile bytes, short enough for a message.
fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 512;
    escaped(&bytes[..bytes.len().min(SHOWN_MAX)])
}

#[cfg(test)]
mod tests;
