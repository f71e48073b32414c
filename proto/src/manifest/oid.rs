//! Object ids of git.

use std::fmt;

use crate::chunk::{parse_hex, write_hex};

/// The hash function that a repository names its objects with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectFormat {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl ObjectFormat {
    /// The length of an object id in bytes.
    #[must_use]
    pub const fn oid_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The name in git's `extensions.objectFormat` and `rev-parse --show-object-format`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// The id of one git object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Oid {
    /// In a repository with SHA-1.
    Sha1([u8; 20]),
    /// In a repository with SHA-256.
    Sha256([u8; 32]),
}

/// Text or bytes that are not an object id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object id is 40 or 64 lower-case hexadecimal digits")]
pub struct ParseOidError;

impl Oid {
    /// Parses 40 or 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// Anything else.
    pub fn parse(hex: &[u8]) -> Result<Self, ParseOidError> {
        match hex.len() {
            40 => parse_hex(hex).map(Self::Sha1),
            64 => parse_hex(hex).map(Self::Sha256),
            _ => None,
        }
        .ok_or(ParseOidError)
    }

    /// Wraps the 20 or 32 bytes of an id.
    ///
    /// # Errors
    ///
    /// Any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseOidError> {
        if let Ok(bytes) = bytes.try_into() {
            Ok(Self::Sha1(bytes))
        } else if let Ok(bytes) = bytes.try_into() {
            Ok(Self::Sha256(bytes))
        } else {
            Err(ParseOidError)
        }
    }

    /// The bytes of the id, 20 or 32.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        }
    }

    /// The format whose ids are that long.
    #[must_use]
    pub const fn format(&self) -> ObjectFormat {
        match self {
            Self::Sha1(_) => ObjectFormat::Sha1,
            Self::Sha256(_) => ObjectFormat::Sha256,
        }
    }

    /// Whether all bytes are zero, which git writes for "no object".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.as_bytes().iter().all(|&byte| byte == 0)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}

impl std::str::FromStr for Oid {
    type Err = ParseOidError;

    fn from_str(text: &str) -> Result<Self, ParseOidError> {
        Self::parse(text.as_bytes())
    }
}
