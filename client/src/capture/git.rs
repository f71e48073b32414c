//! Asks the user's own git about a directory, without letting the repository run anything and
//! without taking any lock.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// git at work in one directory.
#[derive(Clone, Debug)]
pub struct Git {
    directory: PathBuf,
}

/// git did not answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It cannot be started.
    #[error("cannot run git")]
    Start(#[source] io::Error),
    /// It failed.
    #[error("`git {arguments}` failed in {directory}: {message}")]
    Failed {
        /// What it was asked.
        arguments: String,
        /// Where.
        directory: PathBuf,
        /// What it said.
        message: String,
    },
    /// Its answer is none that git gives.
    #[error("cannot understand the answer of `git {arguments}` in {directory}")]
    Answer {
        /// What it was asked.
        arguments: String,
        /// Where.
        directory: PathBuf,
    },
}

impl Git {
    /// git in this directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where git runs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What git prints.
    ///
    /// # Errors
    ///
    /// Where git cannot be started or fails.
    pub fn ask(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let output = self.output(arguments)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(self.failed(arguments, &output))
        }
    }

    /// What git prints on one line; `None` where it exits 1, which means "there is none".
    ///
    /// # Errors
    ///
    /// Where git cannot be started or fails otherwise.
    pub fn ask_for_one(&self, arguments: &[&str]) -> Result<Option<Vec<u8>>, GitError> {
        let output = self.output(arguments)?;
        match output.status.code() {
            Some(0) => Ok(Some(without_newline(output.stdout))),
            Some(1) => Ok(None),
            _ => Err(self.failed(arguments, &output)),
        }
    }

    /// The root of the working tree that the directory belongs to; `None` outside of any.
    ///
    /// # Errors
    ///
    /// Where git cannot be started although there is a repository, or refuses to work in it.
    pub fn toplevel(&self) -> Result<Option<Vec<u8>>, GitError> {
        let arguments = ["rev-parse", "--show-toplevel"];
        match self.output(&arguments) {
            Ok(output) if output.status.success() => Ok(Some(without_newline(output.stdout))),
            // Where no `.git` is in sight, neither a missing git nor its complaint matters.
            Ok(_) | Err(GitError::Start(_)) if !self.is_beneath_repository() => Ok(None),
            Ok(output) => Err(self.failed(&arguments, &output)),
            Err(error) => Err(error),
        }
    }

    /// The error for an answer that makes no sense.
    #[must_use]
    pub fn senseless(&self, arguments: &[&str]) -> GitError {
        GitError::Answer { arguments: arguments.join(" "), directory: self.directory.clone() }
    }

    fn is_beneath_repository(&self) -> bool {
        self.directory.ancestors().any(|above| above.join(".git").symlink_metadata().is_ok())
    }

    fn output(&self, arguments: &[&str]) -> Result<Output, GitError> {
        let mut git = Command::new("git");
        for (name, _) in std::env::vars_os() {
            // They would make git look at another repository or trace into files. Settings stay:
            // they say which directories are safe.
            let name_bytes = name.as_bytes();
            let is_settings =
                name_bytes.starts_with(b"GIT_CONFIG") || name_bytes == b"GIT_EXEC_PATH";
            if name_bytes.starts_with(b"GIT_") && !is_settings {
                git.env_remove(name);
            }
        }
        git.current_dir(&self.directory)
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        git.output().map_err(GitError::Start)
    }

    fn failed(&self, arguments: &[&str], output: &Output) -> GitError {
        let message = String::from_utf8_lossy(&output.stderr);
        GitError::Failed {
            arguments: arguments.join(" "),
            directory: self.directory.clone(),
            message: message.trim().trim_start_matches("fatal: ").to_owned(),
        }
    }
}

fn without_newline(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    line
}
