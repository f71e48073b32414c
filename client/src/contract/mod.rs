//! The contract as the tree's owner writes it down: `.handoff.toml` at the root of the tree.
//!
//! Reads and checks the file; flags are laid over it by the command.

mod compose;

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

use crate::settings::{FileError, Schema, toml_file};

pub use compose::{ComposeError, Flags, compose};

/// The file's name.
pub const FILE_NAME: &str = ".handoff.toml";

/// The keys of `.handoff.toml`.
const KEYS: Schema = Schema::Table(&[
    (
        "run",
        Schema::Table(&[
            ("time_limit", Schema::Value),
            ("agent", Schema::NotBuilt),
            ("max_turns", Schema::NotBuilt),
            ("max_cost", Schema::NotBuilt),
            ("retries", Schema::NotBuilt),
        ]),
    ),
    ("environment", Schema::Table(&[("setup", Schema::Value), ("caches", Schema::Value)])),
    (
        "boundary",
        Schema::Table(&[
            ("hosts", Schema::Value),
            ("change", Schema::NotBuilt),
            ("deny", Schema::NotBuilt),
            ("approve", Schema::NotBuilt),
        ]),
    ),
    ("verify", Schema::NotBuilt),
    ("return", Schema::NotBuilt),
    (
        "carry",
        Schema::Table(&[
            ("include", Schema::Value),
            ("exclude", Schema::Value),
            ("env", Schema::Value),
        ]),
    ),
]);

/// What `.handoff.toml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ContractFile {
    /// How long the command may take and the like.
    pub run: Run,
    /// What is done before the command runs.
    pub environment: Environment,
    /// What the run may touch.
    pub boundary: Boundary,
    /// What else is carried, and what is not.
    pub carry: Carry,
}

/// The table `[boundary]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Boundary {
    /// Hosts that the run may reach beside those that the daemon allows: `HOST`, `*.HOST` or
    /// `HOST:PORT`.
    pub hosts: Vec<String>,
}

/// The table `[run]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Wall time of the command, such as `2h`.
    pub time_limit: Option<TimeLimit>,
}

/// The table `[environment]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Shell commands run before the command, in the same sandbox.
    pub setup: Vec<String>,
    /// Directories kept between runs; `~/` stands for the home directory.
    pub caches: Vec<String>,
}

/// The table `[carry]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Carry {
    /// Globs of ignored files that are carried nevertheless.
    pub include: Vec<String>,
    /// Globs of files that stay here.
    pub exclude: Vec<String>,
    /// Names of environment variables, or `NAME=VALUE`.
    pub env: Vec<String>,
}

/// Wall time of a command: at least one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TimeLimit(Duration);

/// Text that is no time limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time limit: write for example 90s, 30m or 2h")]
pub struct TimeLimitError(String);

impl TimeLimit {
    /// The limit in whole seconds, rounded up.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }
}

impl std::str::FromStr for TimeLimit {
    type Err = TimeLimitError;

    fn from_str(text: &str) -> Result<Self, TimeLimitError> {
        let error = || TimeLimitError(text.to_owned());
        let limit: SignedDuration = text.parse().map_err(|_| error())?;
        let limit = Duration::try_from(limit).map_err(|_| error())?;
        if limit < Duration::from_secs(1) { Err(error()) } else { Ok(Self(limit)) }
    }
}

impl TryFrom<String> for TimeLimit {
    type Error = TimeLimitError;

    fn try_from(text: String) -> Result<Self, TimeLimitError> {
        text.parse()
    }
}

impl ContractFile {
    /// Reads the contract of the tree at `root`; a file that is missing asks for nothing.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is not valid, or holds a key without effect.
    pub fn load(root: &Path) -> Result<Self, FileError> {
        toml_file::read(&root.join(FILE_NAME), &KEYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ContractFile, FileError> {
        toml_file::parse(Path::new("/tree/.handoff.toml"), text, &KEYS)
    }

    #[test]
    fn everything_that_is_built_is_read() {
        let contract = parse(
            r#"
            [run]
            time_limit = "1h 30m"
            [environment]
            setup = ["npm ci"]
            caches = ["~/.npm"]
            [boundary]
            hosts = ["docs.example.com"]
            [carry]
            include = [".env.test"]
            exclude = ["*.mp4"]
            env = ["RUST_LOG"]
            "#,
        )
        .unwrap();
        assert_eq!(contract.run.time_limit.unwrap().seconds(), 5400);
        assert_eq!(contract.environment.setup, ["npm ci"]);
        assert_eq!(contract.environment.caches, ["~/.npm"]);
        assert_eq!(contract.boundary.hosts, ["docs.example.com"]);
        assert_eq!(contract.carry.include, [".env.test"]);
        assert_eq!(contract.carry.exclude, ["*.mp4"]);
        assert_eq!(contract.carry.env, ["RUST_LOG"]);
    }

    #[test]
    fn what_has_no_effect_is_refused_by_name() {
        for (text, message) in [
            ("[run]\nmax_turns = 3", "/tree/.handoff.toml: key run.max_turns is not built yet"),
            ("[verify]\ncommands = []", "/tree/.handoff.toml: key verify is not built yet"),
            ("[carry]\nincluded = []", "/tree/.handoff.toml: unknown key carry.included"),
            ("runs = 1", "/tree/.handoff.toml: unknown key runs"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
        let hint = parse("[carry]\nincluded = []").unwrap_err().hint();
        assert_eq!(hint.unwrap(), "did you mean carry.include?");
    }

    #[test]
    fn a_time_limit_needs_a_unit_and_a_second() {
        for text in ["", "0s", "-1h", "5", "500ms", "soon"] {
            assert!(text.parse::<TimeLimit>().is_err(), "{text}");
        }
        assert_eq!("2h".parse::<TimeLimit>().unwrap().seconds(), 7200);
        assert_eq!("1500ms".parse::<TimeLimit>().unwrap().seconds(), 2);
        assert!(matches!(parse("[run]\ntime_limit = \"x\""), Err(FileError::Invalid { .. })));
    }
}
