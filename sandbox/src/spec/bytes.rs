//! Serialises names of the operating system, which are bytes: as text where they are UTF-8 (so
//! that a policy can be read), else as a list of numbers.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&OsStr> for Name {
    fn from(name: &OsStr) -> Self {
        name.to_str()
            .map_or_else(|| Self::Bytes(name.as_bytes().to_vec()), |text| Self::Text(text.into()))
    }
}

impl From<Name> for OsString {
    fn from(name: Name) -> Self {
        match name {
            Name::Text(text) => text.into(),
            Name::Bytes(bytes) => Self::from_vec(bytes),
        }
    }
}

pub(super) mod path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Name;

    pub(in crate::spec) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        Name::from(path.as_os_str()).serialize(to)
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<PathBuf, D::Error> {
        Ok(PathBuf::from(OsString::from(Name::deserialize(from)?)))
    }
}

pub(super) mod paths {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Name;

    pub(in crate::spec) fn serialize<S: Serializer>(
        paths: &[PathBuf],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| Name::from(path.as_os_str())))
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let names = Vec::<Name>::deserialize(from)?;
        Ok(names.into_iter().map(|name| PathBuf::from(OsString::from(name))).collect())
    }
}

pub(super) mod list {
    use std::ffi::OsString;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Name;

    pub(in crate::spec) fn serialize<S: Serializer>(
        names: &[OsString],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(names.iter().map(|name| Name::from(name.as_os_str())))
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<OsString>, D::Error> {
        Ok(Vec::<Name>::deserialize(from)?.into_iter().map(OsString::from).collect())
    }
}

pub(super) mod pairs {
    use std::ffi::OsString;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Name;

    pub(in crate::spec) fn serialize<S: Serializer>(
        pairs: &[(OsString, OsString)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(
            pairs
                .iter()
                .map(|(key, value)| (Name::from(key.as_os_str()), Name::from(value.as_os_str()))),
        )
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(OsString, OsString)>, D::Error> {
        let pairs = Vec::<(Name, Name)>::deserialize(from)?;
        Ok(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}
