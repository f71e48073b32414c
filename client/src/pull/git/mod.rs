//! git at work in a local repository, with everything switched off that could run other programs
//! or reach another machine.
//!
//! Only plumbing is used: nothing here checks files out, reads attributes or calls a filter. What
//! a result says gets in as parsed names and ids, and as packs that were checked.

mod index;
mod objects;
mod operation;
mod refs;
mod worktree;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use handoff_proto::manifest::ObjectFormat;

pub use self::index::{BuiltIndex, IndexLock};
pub use self::objects::{Incoming, Tip};
pub use self::operation::GitFile;
pub(in crate::pull) use self::operation::merge_head;
pub use self::refs::{RefTarget, RefTransaction, RefUpdate};

/// What is switched off for each call, whatever the user's settings say.
const SETTINGS: [&str; 14] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=",
    "core.splitIndex=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.pager=cat",
    "protocol.allow=never",
    "credential.helper=",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "log.showSignature=false",
];

/// A local repository with its working tree.
#[derive(Clone, Debug)]
pub struct Git {
    worktree: PathBuf,
    git_dir: PathBuf,
    objects: PathBuf,
    index: PathBuf,
    format: ObjectFormat,
}

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It cannot be started, or its pipes broke.
    #[error("cannot run git")]
    Run(#[source] io::Error),
    /// It failed.
    #[error("`git {command}` failed in {directory}: {message}")]
    Failed {
        /// What it was asked.
        command: String,
        /// Where.
        directory: PathBuf,
        /// What it said, escaped.
        message: String,
    },
    /// Its answer is none that git gives.
    #[error("cannot understand the answer of `git {command}` in {directory}")]
    Answer {
        /// What it was asked.
        command: String,
        /// Where.
        directory: PathBuf,
    },
    /// A file in the git directory cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// git found something in the pack that it does not accept.
    #[error("git refuses the objects of the result: {message}")]
    BadObjects {
        /// The object and the rule, as git names them, escaped.
        message: String,
    },
    /// An object that the result names is missing or of another type.
    #[error("the result names object {id}, which is {problem}")]
    BadTip {
        /// The object.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Another process changes the index.
    #[error("{0} exists: another git process is at work, or one has crashed")]
    IndexLocked(PathBuf),
    /// The index changed since it was looked at.
    #[error("{0} changed meanwhile")]
    IndexChanged(PathBuf),
    /// The index that git built is not the one that was wanted.
    #[error("git did not stage `{0}` as the result has it")]
    IndexDiffers(String),
    /// References could not be changed as planned.
    #[error("cannot change the references in {directory}: {message}")]
    Refs {
        /// Where.
        directory: PathBuf,
        /// What git said, escaped.
        message: String,
    },
}

impl GitError {
    /// Whether something in this repository stands in the way, rather than git being broken.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::IndexLocked(_) | Self::IndexChanged(_) | Self::Refs { .. } => true,
            Self::Run(_)
            | Self::Failed { .. }
            | Self::Answer { .. }
            | Self::File { .. }
            | Self::BadObjects { .. }
            | Self::BadTip { .. }
            | Self::IndexDiffers(_) => false,
        }
    }

    /// Whether the result is to blame.
    #[must_use]
    pub fn is_hostile(&self) -> bool {
        matches!(self, Self::BadObjects { .. } | Self::BadTip { .. } | Self::IndexDiffers(_))
    }
}

impl Git {
    /// Opens the repository whose working tree is exactly this directory; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Where git cannot be run or refuses to work there.
    pub fn open(worktree: &Path) -> Result<Option<Self>, GitError> {
        if worktree.join(".git").symlink_metadata().is_err() {
            return Ok(None);
        }
        let words = [
            "rev-parse",
            "--path-format=absolute",
            "--show-object-format",
            "--absolute-git-dir",
            "--show-toplevel",
            "--git-path",
            "objects",
            "--git-path",
            "index",
        ];
        let mut command = hardened(worktree);
        // Nothing above this directory is meant.
        if let Some(parent) = worktree.parent() {
            command.env("GIT_CEILING_DIRECTORIES", parent);
        }
        let output = command.args(words).output().map_err(GitError::Run)?;
        let answer = answer(worktree, &words, output)?;
        let senseless =
            || GitError::Answer { command: words.join(" "), directory: worktree.to_owned() };
        let lines: Vec<&[u8]> = answer.split(|&byte| byte == b'\n').collect();
        let [format, git_dir, toplevel, objects, index, b""] = lines[..] else {
            return Err(senseless());
        };
        let format = match format {
            b"sha1" => ObjectFormat::Sha1,
            b"sha256" => ObjectFormat::Sha256,
            _ => return Err(senseless()),
        };
        let [git_dir, toplevel, objects, index] =
            [git_dir, toplevel, objects, index].map(|path| PathBuf::from(OsStr::from_bytes(path)));
        if toplevel != worktree && !is_same_directory(&toplevel, worktree) {
            return Ok(None);
        }
        Ok(Some(Self { worktree: worktree.to_owned(), git_dir, objects, index, format }))
    }

    /// The directory of the working tree.
    #[must_use]
    pub fn worktree(&self) -> &Path {
        &self.worktree
    }

    /// How objects are named.
    #[must_use]
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Where git keeps a file of this name for this working tree.
    fn path_of(&self, name: &str) -> Result<PathBuf, GitError> {
        let mut answer = self.ask(&["rev-parse", "--path-format=absolute", "--git-path", name])?;
        if answer.pop() != Some(b'\n') {
            return Err(self.senseless(&["rev-parse"]));
        }
        Ok(PathBuf::from(OsString::from_vec(answer)))
    }

    /// A call in this repository.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = hardened(&self.worktree);
        command.env("GIT_DIR", &self.git_dir).env("GIT_WORK_TREE", &self.worktree).args(words);
        command
    }

    /// What git prints.
    fn ask(&self, words: &[&str]) -> Result<Vec<u8>, GitError> {
        let output = self.command(words).output().map_err(GitError::Run)?;
        answer(&self.worktree, words, output)
    }

    fn senseless(&self, words: &[&str]) -> GitError {
        GitError::Answer { command: words.join(" "), directory: self.worktree.clone() }
    }
}

/// A call of git that runs no other program and asks nobody anything.
pub(super) fn hardened(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        // They would point git elsewhere or trace into files. The user's settings file may be
        // named by one, and it says which directories are safe.
        let is_settings = matches!(
            name.as_bytes(),
            b"GIT_CONFIG_GLOBAL" | b"GIT_CONFIG_SYSTEM" | b"GIT_CONFIG_NOSYSTEM" | b"GIT_EXEC_PATH"
        );
        if name.as_bytes().starts_with(b"GIT_") && !is_settings {
            command.env_remove(name);
        }
    }
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_ALLOW_PROTOCOL", "")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_EDITOR", "false")
        .env("GIT_PAGER", "cat")
        .env("LC_ALL", "C");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
}

/// Runs a call with something to read. A program that stops reading early is no error of ours: it
/// says itself what is wrong.
fn feed(mut command: Command, input: &[u8]) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    // git may answer before it has read everything, so that both have to go on at once.
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                drop(stdin.write_all(input));
            }
        });
        child.wait_with_output()
    })
}

fn answer(directory: &Path, words: &[&str], output: Output) -> Result<Vec<u8>, GitError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(GitError::Failed {
        command: words.join(" "),
        directory: directory.to_owned(),
        message: message(&output.stderr),
    })
}

/// What git said on standard error, safe to print.
fn message(stderr: &[u8]) -> String {
    let lines = stderr.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let shown: Vec<String> = lines.take(5).map(handoff_proto::path::escaped).collect();
    shown.join("; ")
}

fn is_same_directory(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        (_, _) => false,
    }
}

/// Turns errors on a file into ones that name it.
fn at(path: &Path) -> impl FnOnce(io::Error) -> GitError {
    let path = path.to_owned();
    move |source| GitError::File { path, source }
}

#[cfg(test)]
mod tests;
