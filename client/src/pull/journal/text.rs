//! Domain values as text in the journal.

use std::fmt::Display;
use std::str::FromStr;

use data_encoding::BASE64;
use handoff_proto::manifest::{Head, Oid, RefName};
use handoff_proto::path::TreePath;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands before bytes that are no UTF-8.
const BASE64_PREFIX: &str = "base64:";

/// A value that the journal keeps as one string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<T>(pub T);

/// How a value becomes text and is read back.
pub trait AsText: Sized {
    /// The text.
    fn to_text(&self) -> String;

    /// The value, if the text is one.
    fn from_text(text: &str) -> Option<Self>;
}

impl<T: AsText> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_text())
    }
}

impl<'de, T: AsText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::from_text(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is invalid")))
    }
}

impl AsText for Vec<u8> {
    fn to_text(&self) -> String {
        match std::str::from_utf8(self) {
            Ok(text) if !text.starts_with(BASE64_PREFIX) => text.to_owned(),
            Ok(_) | Err(_) => format!("{BASE64_PREFIX}{}", BASE64.encode(self)),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text.strip_prefix(BASE64_PREFIX) {
            Some(encoded) => BASE64.decode(encoded.as_bytes()).ok(),
            None => Some(text.as_bytes().to_vec()),
        }
    }
}

impl AsText for TreePath {
    fn to_text(&self) -> String {
        self.as_bytes().to_vec().to_text()
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(&Vec::from_text(text)?).ok()
    }
}

impl AsText for RefName {
    fn to_text(&self) -> String {
        self.as_bytes().to_vec().to_text()
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(&Vec::from_text(text)?).ok()
    }
}

impl AsText for Oid {
    fn to_text(&self) -> String {
        shown(self)
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::from_str(text).ok()
    }
}

impl AsText for blake3::Hash {
    fn to_text(&self) -> String {
        shown(self)
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::from_hex(text).ok()
    }
}

/// As git's own file: `ref: ` and the branch, with its commit after it if it has one; or a commit.
impl AsText for Head {
    fn to_text(&self) -> String {
        match self {
            Self::Branch(name, Some(oid)) => format!("ref: {oid} {}", name.to_text()),
            Self::Branch(name, None) => format!("ref: - {}", name.to_text()),
            Self::Detached(oid) => shown(oid),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        let Some(branch) = text.strip_prefix("ref: ") else {
            return Oid::from_text(text).map(Self::Detached);
        };
        let (oid, name) = branch.split_once(' ')?;
        let oid = if oid == "-" { None } else { Some(Oid::from_text(oid)?) };
        Some(Self::Branch(RefName::from_text(name)?, oid))
    }
}

fn shown(value: &impl Display) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_survive_the_journal(bytes: Vec<u8>, prefixed: bool) {
            let bytes = if prefixed { [BASE64_PREFIX.as_bytes(), &bytes].concat() } else { bytes };
            let json = serde_json::to_string(&Text(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Text<Vec<u8>>>(&json).unwrap().0, bytes);
        }
    }

    #[test]
    fn heads_survive_the_journal() {
        let name = RefName::parse(b"refs/heads/caf\xe9").unwrap();
        let oid = Oid::Sha1([7; 20]);
        for head in [
            Head::Branch(name.clone(), Some(oid)),
            Head::Branch(name, None),
            Head::Detached(Oid::Sha256([8; 32])),
        ] {
            assert_eq!(Head::from_text(&head.to_text()), Some(head));
        }
        for bad in ["", "ref: ", "ref: refs/heads/x", "ref: - HEAD", "main"] {
            assert_eq!(Head::from_text(bad), None, "{bad}");
        }
    }
}
