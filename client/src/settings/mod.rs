//! The client's settings: which remotes there are and which one is meant by default.
//!
//! They live in `config.toml`, written by `handoff remote`, readable and changeable by hand. Keys
//! and certificates are files of their own; this module never reads those.

mod error;
mod keys;
mod places;
mod private_file;
pub(crate) mod toml_file;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use error::Error;
pub use keys::{KeyError, Schema, nearest};
pub use places::Places;
pub use private_file::{
    Durability, FileLock, create_private_directory, link_private, replace_private, write_private,
};
pub use toml_file::FileError;

/// The keys of `config.toml`.
const KEYS: Schema = Schema::Table(&[
    ("default", Schema::Value),
    (
        "remotes",
        Schema::Each(&Schema::Table(&[
            ("addresses", Schema::Value),
            ("ca", Schema::Value),
            ("certificate", Schema::Value),
            ("key", Schema::Value),
        ])),
    ),
]);

/// Longest name of a remote, in characters.
const REMOTE_NAME_LEN_MAX: usize = 40;

/// The client's settings and where everything of the client's is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where files are kept.
    pub places: Places,
    file: ConfigFile,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct ConfigFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default)]
    remotes: BTreeMap<String, RemoteSettings>,
}

/// A daemon that this user is paired with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RemoteSettings {
    /// `host:port`, tried in this order.
    pub addresses: Vec<String>,
    /// The daemon's certificate authority, PEM.
    pub ca: PathBuf,
    /// Our certificate, PEM.
    pub certificate: PathBuf,
    /// Our private key, PEM.
    pub key: PathBuf,
}

impl RemoteSettings {
    /// What tells this daemon from another one of the same name: the hash of its authority.
    ///
    /// # Errors
    ///
    /// Where the authority's certificate cannot be read.
    pub fn daemon(&self) -> Result<String, Error> {
        match std::fs::read(&self.ca) {
            Ok(ca) => Ok(blake3::hash(&ca).to_string()),
            Err(source) => Err(FileError::Read { path: self.ca.clone(), source }.into()),
        }
    }
}

impl Settings {
    /// Reads the settings; a file that is missing is an empty one.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is no TOML, or holds a key that is not known.
    pub fn load(places: Places) -> Result<Self, Error> {
        let file = toml_file::read(&places.config_file(), &KEYS)?;
        Ok(Self { places, file })
    }

    /// The remote meant where none is named.
    #[must_use]
    pub fn default_remote(&self) -> Option<&str> {
        match &self.file.default {
            Some(name) => Some(name),
            // Naming the only one would be ceremony.
            None if self.file.remotes.len() == 1 => {
                self.file.remotes.keys().next().map(String::as_str)
            }
            None => None,
        }
    }

    /// All remotes by name.
    pub fn remotes(&self) -> impl Iterator<Item = (&str, &RemoteSettings)> {
        self.file.remotes.iter().map(|(name, remote)| (name.as_str(), remote))
    }

    /// The remote of this name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRemote`].
    pub fn remote(&self, name: &str) -> Result<&RemoteSettings, Error> {
        self.file.remotes.get(name).ok_or_else(|| Error::UnknownRemote {
            name: name.to_owned(),
            known: self.file.remotes.keys().cloned().collect(),
        })
    }

    /// Refuses a name that cannot be a new remote's.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`] and [`Error::NameTaken`].
    pub fn check_new_remote(&self, name: &str) -> Result<(), Error> {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fits = (1..=REMOTE_NAME_LEN_MAX).contains(&name.len());
        if !fits
            || !name.chars().all(known)
            || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err(Error::BadName { name: name.to_owned() });
        }
        if self.file.remotes.contains_key(name) {
            return Err(Error::NameTaken { name: name.to_owned() });
        }
        Ok(())
    }

    /// Adds a remote; the first one becomes the default.
    ///
    /// # Errors
    ///
    /// Where the name is taken by now or the file cannot be written.
    pub fn add_remote(&mut self, name: &str, remote: RemoteSettings) -> Result<(), Error> {
        self.change(|settings| {
            settings.check_new_remote(name)?;
            settings.file.remotes.insert(name.to_owned(), remote);
            settings.file.default.get_or_insert_with(|| name.to_owned());
            Ok(())
        })
    }

    /// Forgets a remote; its files stay.
    ///
    /// # Errors
    ///
    /// Where there is no such remote or the file cannot be written.
    pub fn remove_remote(&mut self, name: &str) -> Result<(), Error> {
        self.change(|settings| {
            settings.remote(name)?;
            settings.file.remotes.remove(name);
            if settings.file.default.as_deref() == Some(name) {
                settings.file.default = None;
            }
            Ok(())
        })
    }

    /// Makes a remote the one meant where none is named.
    ///
    /// # Errors
    ///
    /// Where there is no such remote or the file cannot be written.
    pub fn set_default_remote(&mut self, name: &str) -> Result<(), Error> {
        self.change(|settings| {
            settings.remote(name)?;
            settings.file.default = Some(name.to_owned());
            Ok(())
        })
    }

    /// The same settings with other addresses for a remote; the file stays as it is.
    #[must_use]
    pub fn with_addresses(mut self, name: &str, addresses: Vec<String>) -> Self {
        if let Some(remote) = self.file.remotes.get_mut(name) {
            remote.addresses = addresses;
        }
        self
    }

    /// Reads the file again under a lock, changes and writes it.
    fn change(&mut self, change: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let path = self.places.config_file();
        let write = |source| Error::Write { path: path.clone(), source };
        create_private_directory(&self.places.config).map_err(write)?;
        let _lock = FileLock::acquire(&self.places.config.join("config.lock")).map_err(write)?;
        let mut fresh = Self::load(self.places.clone())?;
        change(&mut fresh)?;
        let text = toml::to_string_pretty(&fresh.file)
            .map_err(|error| FileError::Invalid { path: path.clone(), what: error.to_string() })?;
        write_private(&path, text.as_bytes()).map_err(write)?;
        *self = fresh;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn remote() -> RemoteSettings {
        RemoteSettings {
            addresses: vec!["box:7420".to_owned()],
            ca: "/ca".into(),
            certificate: "/certificate".into(),
            key: "/key".into(),
        }
    }

    fn empty(home: &Path) -> Settings {
        Settings::load(Places::beneath(home)).unwrap()
    }

    #[test]
    fn what_is_added_is_read_back_and_the_first_is_the_default() {
        let home = tempfile::tempdir().unwrap();
        let mut settings = empty(home.path());
        assert_eq!(settings.default_remote(), None);
        settings.add_remote("box", remote()).unwrap();
        settings.add_remote("other", remote()).unwrap();
        let read = empty(home.path());
        assert_eq!(read.default_remote(), Some("box"));
        assert_eq!(read.remote("other").unwrap(), &remote());
    }

    #[test]
    fn a_name_is_taken_once() {
        let home = tempfile::tempdir().unwrap();
        let mut first = empty(home.path());
        let mut second = empty(home.path());
        first.add_remote("box", remote()).unwrap();
        let error = second.add_remote("box", remote()).unwrap_err();
        assert!(matches!(error, Error::NameTaken { .. }), "{error}");
    }

    #[test]
    fn a_removed_default_leaves_the_only_other_remote() {
        let home = tempfile::tempdir().unwrap();
        let mut settings = empty(home.path());
        settings.add_remote("box", remote()).unwrap();
        settings.add_remote("other", remote()).unwrap();
        settings.remove_remote("box").unwrap();
        assert_eq!(settings.default_remote(), Some("other"));
        assert!(matches!(settings.remote("box"), Err(Error::UnknownRemote { .. })));
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        let home = tempfile::tempdir().unwrap();
        for name in ["", "..", "a/b", "-x", "ä", ".hidden"] {
            let error = empty(home.path()).check_new_remote(name).unwrap_err();
            assert!(matches!(error, Error::BadName { .. }), "{name}");
        }
    }

    #[test]
    fn an_unknown_key_names_file_key_and_the_nearest_known_one() {
        let text = "[remotes.box]\naddreses = []\n";
        let path = Path::new("/c/config.toml");
        let error = Error::from(toml_file::parse::<ConfigFile>(path, text, &KEYS).unwrap_err());
        assert_eq!(error.to_string(), "/c/config.toml: unknown key remotes.box.addreses");
        assert_eq!(error.hint().unwrap(), "did you mean remotes.box.addresses?");
    }
}
