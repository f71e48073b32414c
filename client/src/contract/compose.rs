//! Lays flags over `.handoff.toml` and this machine's environment: the contract of one run.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use handoff_proto::path::{AbsolutePath, PathError};
use handoff_proto::wire;

use super::{ContractFile, TimeLimit};
use crate::capture::account::{AccountError, account, home, umask};
use crate::capture::environment::{EnvironmentError, Missing, environment, path_in_tree};
use crate::capture::user_git::UserGit;

/// What the command line says about the run; it wins over the file.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The command, word by word.
    pub command: Vec<OsString>,
    /// Wall time of the command.
    pub time_limit: Option<TimeLimit>,
    /// Environment variables, `NAME` or `NAME=VALUE`.
    pub env: Vec<OsString>,
    /// Hosts that the run may reach, beside those of the file.
    pub hosts: Vec<String>,
}

/// The contract cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// This user cannot be described.
    #[error("cannot describe this user")]
    Account(#[source] AccountError),
    /// `--env` asks for what cannot be passed on.
    #[error("cannot pass the environment on")]
    Environment(#[source] EnvironmentError),
    /// A cache has a path that cannot be one.
    #[error("cache {cache:?} in {} cannot be used", super::FILE_NAME)]
    Cache {
        /// The cache.
        cache: String,
        /// Why.
        source: PathError,
    },
}

/// Makes the contract of a run of the tree at `root`, whose command starts in `directory`.
///
/// # Errors
///
/// Where something that was asked for cannot be had.
pub fn compose(
    root: &AbsolutePath,
    directory: &AbsolutePath,
    file: &ContractFile,
    flags: &Flags,
    git: UserGit,
) -> Result<wire::Contract, ComposeError> {
    let home = home().map_err(ComposeError::Account)?;
    let here: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let wanted_by_file = file.carry.env.iter().map(|name| (OsStr::new(name), Missing::LeftOut));
    let wanted_by_flag = flags.env.iter().map(|name| (name.as_os_str(), Missing::Refused));
    let environment = environment(&here, wanted_by_file.chain(wanted_by_flag))
        .map_err(ComposeError::Environment)?;
    let variable = |name: &str| std::env::var_os(name);
    let path = variable("PATH").unwrap_or_default();
    Ok(wire::Contract {
        command: flags.command.iter().map(|word| word.as_bytes().to_vec()).collect(),
        root: root.as_bytes().to_vec(),
        directory: directory.as_bytes().to_vec(),
        environment,
        time_limit_seconds: flags.time_limit.or(file.run.time_limit).map_or(0, TimeLimit::seconds),
        umask: umask(),
        account: Some(account(&home, &variable)),
        setup: file.environment.setup.clone(),
        caches: file
            .environment
            .caches
            .iter()
            .map(|cache| at_home(cache, &home, root))
            .collect::<Result<_, _>>()?,
        hosts: file.boundary.hosts.iter().chain(&flags.hosts).cloned().collect(),
        git_remotes: git.remotes,
        git_config: git.config,
        git_excludes: git.excludes,
        path_in_tree: path_in_tree(&path, root),
        ..wire::Contract::default()
    })
}

/// `~/` stands for the home directory; what is relative is meant from the root.
fn at_home(cache: &str, home: &AbsolutePath, root: &AbsolutePath) -> Result<Vec<u8>, ComposeError> {
    let cut = cache.trim_end_matches('/');
    let absolute = match cut.strip_prefix("~/") {
        Some(rest) => [home.as_bytes(), b"/", rest.as_bytes()].concat(),
        None if cut.starts_with('/') => cut.as_bytes().to_vec(),
        None => [root.as_bytes(), b"/", cut.as_bytes()].concat(),
    };
    let refused = |source| ComposeError::Cache { cache: cache.to_owned(), source };
    Ok(AbsolutePath::parse(&absolute).map_err(refused)?.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_absolute() {
        let (home, root) = ("/home/a".parse().unwrap(), "/home/a/tree".parse().unwrap());
        for (cache, path) in [
            ("~/.npm", "/home/a/.npm"),
            ("~/.npm/", "/home/a/.npm"),
            ("/var/cache/x", "/var/cache/x"),
            ("target", "/home/a/tree/target"),
        ] {
            assert_eq!(at_home(cache, &home, &root).unwrap(), path.as_bytes());
        }
        for cache in ["~/../x", "", "a//b", "~"] {
            let refused = at_home(cache, &home, &root);
            assert!(cache == "~" || matches!(refused, Err(ComposeError::Cache { .. })), "{cache}");
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let root: AbsolutePath = "/home/a/tree".parse().unwrap();
        let mut file = ContractFile::default();
        file.run.time_limit = Some("2h".parse().unwrap());
        file.boundary.hosts = vec!["file.test".into()];
        file.carry.env = vec!["A=file".to_owned(), "B=file".to_owned()];
        let flags = Flags {
            command: vec!["make".into()],
            time_limit: Some("5m".parse().unwrap()),
            env: vec!["A=flag".into()],
            hosts: vec!["flag.test".into()],
        };
        let contract = compose(&root, &root, &file, &flags, UserGit::default()).unwrap();
        assert_eq!(contract.time_limit_seconds, 300);
        assert_eq!(contract.hosts, ["file.test", "flag.test"]);
        let value = |name: &[u8]| {
            let found = contract.environment.iter().find(|variable| variable.name == name);
            found.map(|variable| variable.value.clone())
        };
        assert_eq!(value(b"A").unwrap(), b"flag");
        assert_eq!(value(b"B").unwrap(), b"file");
    }
}
