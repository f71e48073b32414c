//! An empty repository of our own, through which git reads objects that others made.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use handoff_proto::manifest::ObjectFormat;
use handoff_proto::path::escaped;

use super::{GitDirectory, GitError, store};

/// How much of what git says goes into a message.
const MESSAGE_MAX: u64 = 2 * 1024;

/// Where git is searched in the jail.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Settings that decide what git believes of files that others made: it reads objects themselves
/// rather than what summaries say about them, and keeps memory within bounds.
const SETTINGS: [&str; 9] = [
    "core.multiPackIndex=false",
    "pack.useBitmaps=false",
    "pack.readReverseIndex=false",
    "pack.windowMemory=256m",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "advice.sparseIndexExpanded=false",
    "gc.auto=0",
];

/// An empty bare repository with somebody else's objects as its alternate store.
#[derive(Debug)]
pub(in super::super) struct CleanRepository {
    directory: PathBuf,
    format: ObjectFormat,
}

impl CleanRepository {
    /// Makes the repository in a directory that does not exist yet.
    ///
    /// # Errors
    ///
    /// Where git is missing or fails.
    pub(in super::super) fn create(
        directory: PathBuf,
        theirs: GitDirectory<'_>,
    ) -> Result<Self, GitError> {
        let clean = Self { directory, format: theirs.format };
        // Given by variable, the directory would have to be a repository already.
        let mut git = clean.command();
        git.env_remove("GIT_DIR")
            .args(["init", "-q", "--bare", "--template="])
            .arg(format!("--object-format={}", clean.format.name()))
            .arg(&clean.directory);
        run("init", &mut git, Stdio::null(), Stdio::null(), &std::env::temp_dir())?;
        store::compose(theirs, &clean.alternate())?;
        Ok(clean)
    }

    /// How objects are named.
    pub(super) fn format(&self) -> ObjectFormat {
        self.format
    }

    /// The path of a file of ours in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where git finds the objects that others made.
    fn alternate(&self) -> PathBuf {
        self.file("their-objects")
    }

    /// Where the pack is, once there is one.
    pub(in super::super) fn pack(&self) -> PathBuf {
        self.file("harvest.pack")
    }

    /// Runs git with files of ours as its standard streams, so that no side ever waits for the
    /// other.
    pub(super) fn run(
        &self,
        name: &'static str,
        arguments: &[&OsStr],
        index: Option<&Path>,
        input: Option<&Path>,
        output: &Path,
    ) -> Result<(), GitError> {
        let mut git = self.command();
        git.arg(name).args(arguments);
        if let Some(index) = index {
            git.env("GIT_INDEX_FILE", index);
        }
        let input = match input {
            Some(path) => File::open(path).map_err(GitError::Scratch)?.into(),
            None => Stdio::null(),
        };
        let output = File::create(output).map_err(GitError::Scratch)?;
        run(name, &mut git, input, output.into(), &self.directory)
    }

    fn command(&self) -> Command {
        let mut git = Command::new("git");
        git.env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent")
            .env("GIT_DIR", &self.directory)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.alternate())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0");
        for setting in SETTINGS {
            git.args(["-c", setting]);
        }
        git
    }
}

/// Runs a command to its end; what it complains about goes through a file, however much it is.
fn run(
    name: &'static str,
    command: &mut Command,
    input: Stdio,
    output: Stdio,
    scratch: &Path,
) -> Result<(), GitError> {
    let failed = |message: String| GitError::Git { command: name, message };
    let errors = tempfile::tempfile_in(scratch).map_err(GitError::Scratch)?;
    let handle = errors.try_clone().map_err(GitError::Scratch)?;
    let status = command.stdin(input).stdout(output).stderr(handle).status();
    let status = status.map_err(|error| failed(format!("cannot be started: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let said = beginning(errors).unwrap_or_default();
    Err(failed(if said.is_empty() { status.to_string() } else { format!("{status}: {said}") }))
}

fn beginning(mut errors: File) -> io::Result<String> {
    io::Seek::rewind(&mut errors)?;
    let mut bytes = Vec::new();
    errors.take(MESSAGE_MAX).read_to_end(&mut bytes)?;
    Ok(escaped(bytes.trim_ascii()))
}

/// Reads a file of ours that git wrote, whole.
pub(super) fn read_output(path: &Path) -> Result<Vec<u8>, GitError> {
    fs::read(path).map_err(GitError::Scratch)
}
