//! Files in TOML that are written by hand: a key without effect is an error, a missing file is an
//! empty one.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::keys::{KeyError, Schema, check_keys};

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML or a value has the wrong type.
    #[error("{path} is not valid: {what}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        what: String,
    },
    /// A key is not known or not built yet.
    #[error("{path}: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Which key.
        source: KeyError,
    },
}

impl FileError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Key { source, .. } => source.hint(),
            Self::Invalid { .. } => Some("correct the file".to_owned()),
            Self::Read { .. } => None,
        }
    }
}

/// Reads a file that may hold these keys.
///
/// # Errors
///
/// Where it cannot be read, is not valid, or holds a key without effect.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, keys: &Schema) -> Result<T, FileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text, keys),
        Err(error) if error.kind() == io::ErrorKind::NotFound => parse(path, "", keys),
        Err(source) => Err(FileError::Read { path: path.to_owned(), source }),
    }
}

/// Reads the text of such a file.
pub(crate) fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    keys: &Schema,
) -> Result<T, FileError> {
    let invalid = |error: toml::de::Error| FileError::Invalid {
        path: path.to_owned(),
        what: error.to_string().trim_end().to_owned(),
    };
    let table: toml::Table = toml::from_str(text).map_err(invalid)?;
    check_keys(&table, keys).map_err(|source| FileError::Key { path: path.to_owned(), source })?;
    toml::from_str(text).map_err(invalid)
}
