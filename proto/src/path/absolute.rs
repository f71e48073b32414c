//! The absolute path of a tree's root, which is the same on the laptop and in the sandbox.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{PathError, TreePath, check_components, escaped, shown};

/// Top-level directories that belong to the system a sandbox runs on. `lib*` is checked apart.
const RESERVED: [&[u8]; 9] =
    [b"bin", b"boot", b"dev", b"etc", b"proc", b"run", b"sbin", b"sys", b"usr"];

/// An absolute path in its normal form: no `.`, `..`, doubled or trailing slash.
///
/// The components follow the rules of [`TreePath`]. `/` alone is not representable: a whole system
/// is not a tree that anyone hands off.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AbsolutePath(Box<[u8]>);

impl AbsolutePath {
    /// Parses an absolute path that is in normal form already.
    ///
    /// # Errors
    ///
    /// Any rule of this type that `bytes` breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        match bytes.strip_prefix(b"/") {
            Some(relative) => check_components(relative)?,
            None if bytes.is_empty() => return Err(PathError::Empty),
            None => return Err(PathError::Relative(shown(bytes))),
        }
        Ok(Self(bytes.into()))
    }

    /// The path as bytes, beginning with a slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for system calls on a trusted machine; symbolic links are followed.
    #[must_use]
    pub fn as_os_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The path below `/`.
    #[must_use]
    pub fn below_root(&self) -> TreePath {
        TreePath(self.0[1..].into())
    }

    /// The components from the top down; at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0[1..].split(|&b| b == b'/')
    }

    /// The path of something in the tree of which this is the root.
    ///
    /// # Errors
    ///
    /// Where the whole gets too long.
    pub fn join(&self, path: &TreePath) -> Result<Self, PathError> {
        Self::parse(&[&self.0, path.as_bytes()].join(&b'/'))
    }

    /// Whether this path is `directory` or beneath it.
    #[must_use]
    pub fn starts_with(&self, directory: &Self) -> bool {
        match self.0.strip_prefix(&*directory.0) {
            Some(rest) => rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// The top-level directory, where that belongs to the system a sandbox runs on.
    ///
    /// A tree beneath usr, bin, sbin, lib*, etc, proc, dev, sys, run or boot cannot be put at the
    /// same path in a sandbox. `None` means that the path is fine.
    #[must_use]
    pub fn reserved_top_level(&self) -> Option<&[u8]> {
        let top = self.components().next()?;
        (RESERVED.contains(&top) || top.starts_with(b"lib")).then_some(top)
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escaped(&self.0))
    }
}

impl fmt::Debug for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl TryFrom<&Path> for AbsolutePath {
    type Error = PathError;

    fn try_from(path: &Path) -> Result<Self, PathError> {
        Self::parse(path.as_os_str().as_bytes())
    }
}

impl std::str::FromStr for AbsolutePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text.as_bytes())
    }
}
