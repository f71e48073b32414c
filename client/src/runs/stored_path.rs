//! A path in a JSON file.

use handoff_proto::path::AbsolutePath;
use serde::{Deserialize, Serialize};

/// A path as JSON, which has no bytes: one that is no UTF-8 is a list of numbers.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum StoredPath {
    /// The usual.
    Text(String),
    /// What is no UTF-8.
    Bytes(Vec<u8>),
}

impl From<&AbsolutePath> for StoredPath {
    fn from(path: &AbsolutePath) -> Self {
        match std::str::from_utf8(path.as_bytes()) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(path.as_bytes().to_vec()),
        }
    }
}

impl StoredPath {
    /// The path, if it is one.
    #[must_use]
    pub fn parse(&self) -> Option<AbsolutePath> {
        let bytes = match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        };
        AbsolutePath::parse(bytes).ok()
    }
}
