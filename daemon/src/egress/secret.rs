//! A credential in memory: never shown, whoever prints it.

use std::path::Path;
use std::{fmt, fs, io};

use zeroize::Zeroizing;

/// A credential. Its memory is cleared when it is dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a credential in, without the line end that files and terminals add.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Reads a credential's file; no other copy of it stays in memory.
    ///
    /// # Errors
    /// When the file cannot be read, or is no text.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let text = Zeroizing::new(fs::read_to_string(path)?);
        Ok(Self::new(&text))
    }

    /// The credential itself: for a header on its way out, and for its file.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A credential as it is written down: in its file, and for a gateway, which hold nothing else.
pub(crate) mod written {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use zeroize::Zeroizing;

    use super::Secret;

    pub(crate) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.reveal())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        Ok(Secret::new(&Zeroizing::new(String::deserialize(from)?)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_shown() {
        let secret = Secret::new("s3cret\r\n");
        assert_eq!(secret.reveal(), "s3cret");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
