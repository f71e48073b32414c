//! Reads `handoffd.toml` and says what is wrong with it: the key, the file, what to write instead.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use http::header::{self, HeaderName};
use rustls::pki_types::ServerName;
use thiserror::Error;
use toml::Table;

use crate::{credentials::is_name as is_credential, egress};

use super::{
    Config,
    check::{self, KeyProblem},
    services::known_provider,
};

/// Whether a missing file means the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The operator named the file: it must be there.
    Required,
    /// The usual place: it may be missing.
    Optional,
}

/// The settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read settings from {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        #[source]
        source: io::Error,
    },
    /// Not TOML, or a value of the wrong type.
    #[error("settings in {path} are wrong: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key {key} in {path}{}", did_you_mean(.nearest.as_deref()))]
    UnknownKey {
        /// The key with its section.
        key: String,
        /// The file.
        path: PathBuf,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A key whose effect does not exist.
    #[error("{key} in {path} is not built yet: remove it")]
    NotBuilt {
        /// The key, with its value where only the value is the trouble.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// A value that cannot work.
    #[error("{key} in {path} cannot be {value}: {why}")]
    Value {
        /// The key with its section.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it is set to.
        value: String,
        /// What it must be.
        why: &'static str,
    },
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When the file cannot be read, or anything in it is unknown, not built yet or wrong.
    pub fn load(path: &Path, presence: Presence) -> Result<Self, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && presence == Presence::Optional =>
            {
                Ok(Self::default())
            }
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    /// Reads settings out of a text; `path` is named in errors.
    ///
    /// # Errors
    /// When anything in it is unknown, not built yet or wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        let table: Table = toml::from_str(text).map_err(syntax)?;
        let path = || path.to_owned();
        check::check(&table).map_err(|problem| match problem {
            KeyProblem::Unknown { key, nearest } => {
                ConfigError::UnknownKey { key, path: path(), nearest }
            }
            KeyProblem::NotBuilt { key } => ConfigError::NotBuilt { key, path: path() },
        })?;
        // From the text once more, so that a wrong type is shown with its line.
        let config: Self = toml::from_str(text).map_err(syntax)?;
        config.check_values(&path())?;
        Ok(config)
    }

    fn check_values(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |key, value: String, why| {
            Err(ConfigError::Value { key, path: path.to_owned(), value, why })
        };
        let check_credential = |key, name: &str, set: Option<&String>| {
            // By default the one of the same name.
            let credential = set.map_or(name, String::as_str);
            if is_credential(credential) {
                return Ok(());
            }
            let why = "write the name of a credential: 1 to 64 lower-case letters, digits, - and .";
            wrong(key, format!("{credential:?}"), why)
        };
        for name in &self.listen.names {
            if ServerName::try_from(name.as_str()).is_err() {
                return wrong("listen.names", format!("{name:?}"), "write a host name or address");
            }
        }
        for (name, provider) in &self.providers {
            if !is_component(name) || egress::NOT_PROVIDERS.contains(&name.as_str()) {
                let why = "write letters, digits, -, _ and .; git and mcp are others' names";
                return wrong("providers", format!("{name:?}"), why);
            }
            let known = known_provider(name).is_some();
            if !known && (provider.base_url.is_none() || provider.api.is_none()) {
                let why = "give it a base_url, and an api (anthropic, openai or gemini)";
                return wrong("providers", format!("{name:?} without them"), why);
            }
            check_credential("providers.credential", name, provider.credential.as_ref())?;
        }
        for (name, server) in &self.mcp {
            if !is_component(name) {
                return wrong("mcp", format!("{name:?}"), "write letters, digits, -, _ and .");
            }
            let header = server.header.as_deref().unwrap_or(header::AUTHORIZATION.as_str());
            if header.parse::<HeaderName>().is_err() {
                return wrong("mcp.header", format!("{header:?}"), "write the name of a header");
            }
            check_credential("mcp.credential", name, server.credential.as_ref())?;
        }
        for (host, set) in &self.git {
            check_credential("git.credential", &host.to_string(), set.credential.as_ref())?;
        }
        for directory in self.tools.paths.iter().chain(&self.store.directory) {
            if !directory.is_absolute() {
                let key = if self.store.directory.as_ref() == Some(directory) {
                    "store.directory"
                } else {
                    "tools.paths"
                };
                return wrong(key, format!("{directory:?}"), "write an absolute path");
            }
        }
        if let Some(socket) = &self.isolation.launcher
            && !(socket.is_absolute() && socket.file_name().is_some())
        {
            return wrong("isolation.launcher", format!("{socket:?}"), "write an absolute path");
        }
        let at_least_one = [
            ("runs.concurrent", u64::from(self.runs.concurrent)),
            ("runs.processes", u64::from(self.runs.processes)),
            ("runs.memory", self.runs.memory_bytes),
            ("runs.disk", self.runs.disk_bytes),
        ];
        match at_least_one.into_iter().find(|(_, value)| *value == 0) {
            Some((key, value)) => wrong(key, value.to_string(), "it must be at least 1"),
            None => Ok(()),
        }
    }
}

/// Whether a name can be a component of a path at the door.
fn is_component(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed)
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|key| format!(": did you mean {key}?")).unwrap_or_default()
}
