//! Names of whole manifests.

use std::fmt;

use crate::chunk::{ParseIdError, parse_hex, write_hex};

/// Defines the id of one kind of manifest, so that a result never passes for a snapshot.
macro_rules! manifest_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id of the manifest with this canonical encoding.
            #[must_use]
            pub fn of(encoded: &[u8]) -> Self {
                Self(*blake3::hash(encoded).as_bytes())
            }

            /// Wraps a hash that was stored elsewhere.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The hash itself.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Parses what `Display` writes.
            ///
            /// # Errors
            ///
            /// Anything but 64 lower-case hexadecimal digits.
            pub fn parse(hex: &str) -> Result<Self, ParseIdError> {
                parse_hex(hex.as_bytes()).map(Self).ok_or(ParseIdError)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdError;

            fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
                bytes.try_into().map(Self).map_err(|_| ParseIdError)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Self::parse(text)
            }
        }
    };
}

manifest_id! {
    /// The BLAKE3 of a snapshot manifest's canonical encoding.
    SnapshotId
}

manifest_id! {
    /// The BLAKE3 of a result manifest's canonical encoding.
    ResultId
}
