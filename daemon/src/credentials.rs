//! Credentials for APIs and git hosts, which runs use and never see: one file each, which only the
//! daemon's user can read, in the state directory or where systemd puts what a unit loads.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::egress::{CredentialKind, Secret};
use crate::sign_in::{SignIn, SignInError};
use crate::store::durable_file;

/// The directory in the daemon's state.
const DIRECTORY: &str = "credentials";

/// Where systemd puts the credentials of a unit (`LoadCredential=`).
const SYSTEMD_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Longest credential. Tokens have some hundred bytes; a header takes no more than this.
const SECRET_MAX: usize = 16 * 1024;

/// How subscription tokens of Anthropic's are told from API keys.
const ANTHROPIC_TOKEN: &str = "sk-ant-oat";

/// Longest name.
const NAME_MAX: usize = 64;

/// What went wrong with a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The name cannot be one.
    #[error(
        "{0:?} is no name of a credential: write 1 to 64 lower-case letters, digits, dots and dashes"
    )]
    Name(String),
    /// The secret cannot be one.
    #[error("the secret is not 1 to 16384 visible characters on one line")]
    Secret,
    /// It is meant to be a sign-in.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// There is none of that name.
    #[error("there is no credential {0}")]
    Missing(String),
    /// It came with the unit.
    #[error("credential {0} comes from systemd; remove it from the unit")]
    Systemd(String),
    /// A file.
    #[error("cannot use {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// Where a credential is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The daemon.
    Daemon,
    /// systemd.
    Systemd,
}

impl Keeper {
    /// Its name in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daemon => "handoffd",
            Self::Systemd => "systemd",
        }
    }
}

/// A credential that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its file.
    pub path: PathBuf,
    /// Who keeps it.
    pub keeper: Keeper,
    /// What it looks like.
    pub kind: CredentialKind,
}

/// The credentials of one daemon.
#[derive(Clone, Debug)]
pub struct Credentials {
    own: PathBuf,
    systemd: Option<PathBuf>,
}

impl Credentials {
    /// Those of the daemon with this state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        let systemd = std::env::var_os(SYSTEMD_DIRECTORY).map(PathBuf::from);
        Self { own: state.join(DIRECTORY), systemd }
    }

    /// Finds one, if it is there; the daemon's own wins.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Kept> {
        if !is_name(name) {
            return None;
        }
        let places = [(Some(&self.own), Keeper::Daemon), (self.systemd.as_ref(), Keeper::Systemd)];
        let files =
            places.into_iter().filter_map(|(place, keeper)| Some((place?.join(name), keeper)));
        let (path, keeper) = files.into_iter().find(|(path, _)| path.is_file())?;
        // One that cannot be read is what its user finds out, and says.
        let text = Secret::read(&path).unwrap_or_default();
        Some(Kept { kind: kind_of(&text), path, keeper })
    }

    /// Keeps one, in place of an earlier one of that name.
    ///
    /// # Errors
    ///
    /// When name or secret cannot be used, or the file not be written.
    pub fn add(&self, name: &str, secret: &Secret) -> Result<(), CredentialError> {
        check_name(name)?;
        let sign_in = SignIn::is_meant(secret.reveal())
            .then(|| SignIn::parse(secret.reveal()).map(|sign_in| sign_in.to_text()))
            .transpose()?;
        let text = sign_in.as_ref().unwrap_or(secret).reveal();
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || !(1..=SECRET_MAX).contains(&text.len()) {
            return Err(CredentialError::Secret);
        }
        self.make_directory().map_err(failed(&self.own))?;
        let path = self.own.join(name);
        durable_file::write(&path, text.as_bytes())
            .map_err(|error| CredentialError::Io { path, source: io::Error::other(error) })
    }

    fn make_directory(&self) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(&self.own) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::set_permissions(&self.own, fs::Permissions::from_mode(0o700))
    }

    /// Removes one that the daemon keeps. A step that has used its network before has it to its end.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not the daemon's to remove.
    pub fn remove(&self, name: &str) -> Result<(), CredentialError> {
        check_name(name)?;
        let path = self.own.join(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let elsewhere = self.find(name).is_some();
                let name = name.to_owned();
                Err(if elsewhere {
                    CredentialError::Systemd(name)
                } else {
                    CredentialError::Missing(name)
                })
            }
            Err(source) => Err(CredentialError::Io { path, source }),
        }
    }

    /// The names of all, sorted, and who keeps each.
    ///
    /// # Errors
    ///
    /// When a directory cannot be read.
    pub fn list(&self) -> Result<Vec<(String, Keeper)>, CredentialError> {
        let mut found: Vec<(String, Keeper)> = Vec::new();
        let places = [(Some(&self.own), Keeper::Daemon), (self.systemd.as_ref(), Keeper::Systemd)];
        for (directory, keeper) in places {
            let Some(directory) = directory else { continue };
            for name in names(directory).map_err(failed(directory))? {
                if !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, keeper));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }
}

fn kind_of(secret: &Secret) -> CredentialKind {
    match secret.reveal() {
        text if SignIn::is_meant(text) => CredentialKind::SignIn,
        text if text.starts_with(ANTHROPIC_TOKEN) => CredentialKind::Subscription,
        _ => CredentialKind::Key,
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: io::Result<Vec<Option<String>>> = names.collect();
    // Names that are none are no credentials: a file that is still being written, for one.
    Ok(names?.into_iter().flatten().filter(|name| is_name(name)).collect())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CredentialError {
    move |source| CredentialError::Io { path: path.to_owned(), source }
}

/// Whether a credential can have this name: it is that of a file, and is written in settings.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let fits = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(allowed);
    fits && !name.starts_with('.')
}

fn check_name(name: &str) -> Result<(), CredentialError> {
    if is_name(name) { Ok(()) } else { Err(CredentialError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> (tempfile::TempDir, Credentials) {
        let state = tempfile::tempdir().expect("a directory");
        let systemd = state.path().join("systemd");
        fs::create_dir(&systemd).expect("a directory");
        let own = state.path().join(DIRECTORY);
        (state, Credentials { own, systemd: Some(systemd) })
    }

    #[test]
    fn one_is_kept_found_and_removed_and_nobody_else_can_read_it() {
        let (_state, credentials) = credentials();
        assert!(credentials.list().expect("list").is_empty());
        credentials.add("anthropic", &Secret::new("old\n")).expect("add");
        credentials.add("anthropic", &Secret::new("s3cret")).expect("add again");
        let Kept { path: file, keeper, kind } = credentials.find("anthropic").expect("found");
        assert_eq!((keeper, kind), (Keeper::Daemon, CredentialKind::Key));
        assert_eq!(fs::read_to_string(&file).expect("read"), "s3cret");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&credentials.own)), (0o600, 0o700));
        assert_eq!(credentials.list().expect("list"), [("anthropic".to_owned(), Keeper::Daemon)]);
        credentials.remove("anthropic").expect("remove");
        assert_eq!(credentials.find("anthropic"), None);
        let error = credentials.remove("anthropic").expect_err("gone");
        assert_eq!(error.to_string(), "there is no credential anthropic");
    }

    #[test]
    fn what_systemd_loads_is_found_and_is_not_ours_to_remove() {
        let (_state, credentials) = credentials();
        let systemd = credentials.systemd.clone().expect("set");
        fs::write(systemd.join("openai"), "s3cret").expect("write");
        assert!(credentials.find("openai").is_some());
        assert_eq!(credentials.list().expect("list"), [("openai".to_owned(), Keeper::Systemd)]);
        let error = credentials.remove("openai").expect_err("not ours");
        assert!(error.to_string().contains("systemd"), "{error}");
    }

    #[test]
    fn kinds_are_told_by_what_they_look_like() {
        let (_state, credentials) = credentials();
        let kind = |secret: &str| {
            credentials.add("a", &Secret::new(secret)).expect("add");
            credentials.find("a").expect("found").kind
        };
        assert_eq!(kind("sk-ant-api03-x"), CredentialKind::Key);
        assert_eq!(kind("sk-ant-oat01-x"), CredentialKind::Subscription);
        let tokens = r#" {"tokens": {"access_token":"a","refresh_token":"r","account_id":"x"}}"#;
        assert_eq!(kind(tokens), CredentialKind::SignIn);
        let error = credentials.add("a", &Secret::new("{}")).expect_err("no sign-in");
        assert!(matches!(error, CredentialError::SignIn(SignInError::Other)), "{error}");
    }

    #[test]
    fn names_that_lead_elsewhere_and_secrets_that_are_none_are_refused() {
        let (_state, credentials) = credentials();
        for name in ["", ".", "..", "../x", "a/b", "A", "a b", ".hidden", &"a".repeat(65)] {
            credentials.add(name, &Secret::new("x")).expect_err(name);
            assert_eq!(credentials.find(name), None, "{name}");
        }
        for secret in ["", "a b", "a\nb", "\u{1b}", &"x".repeat(SECRET_MAX + 1)] {
            credentials.add("a", &Secret::new(secret)).expect_err("no secret");
        }
    }
}
