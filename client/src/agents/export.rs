//! What of an agent travels with a tree: a session, and what its user has set up for every session.
//!
//! Says which files these are; they are read when the tree is captured.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use handoff_proto::manifest::Timestamp;
use handoff_proto::path::{AbsolutePath, TreePath};

use super::lease::LeaseError;
use super::renames::Renames;

/// What is set up for every session may hold so much together, in bytes; a session has no limit.
const SETUP_BYTES_MAX: u64 = 32 << 20;

/// Files of one directory of it, at most.
const SETUP_FILES_MAX: usize = 5_000;

/// What travels of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The kind of agent.
    pub agent: &'static str,
    /// What the session is called there.
    pub id: String,
    /// The agent's directory.
    pub directory: AbsolutePath,
    /// Files beneath it; each path once.
    pub files: Vec<ExportFile>,
    /// What the agent may miss there.
    pub stays: Vec<Stays>,
    /// What it relies on there.
    pub needs: Needs,
}

/// What is set up for every session relies on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Programs.
    pub programs: BTreeSet<String>,
    /// Environment variables.
    pub variables: BTreeSet<String>,
    /// MCP servers whose secrets stay here, each with its URL: the daemon has to have a credential.
    pub credentials: BTreeMap<String, String>,
}

/// One file that travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportFile {
    /// Where it is there, beneath the agent's directory.
    pub path: TreePath,
    /// Its content.
    pub content: ExportContent,
}

/// Where the content of a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportContent {
    /// A file of the session, at this path beneath the agent's directory.
    Session(TreePath),
    /// A transcript, to which its agent only ever appends whole lines, under these names.
    Transcript(TreePath, Renames),
    /// Something small.
    Text {
        /// The content.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// When it was last modified.
        mtime: Timestamp,
    },
}

/// Something that does not travel.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stays {
    /// What it is.
    pub what: String,
    /// Why, or what to do about it.
    pub why: String,
}

/// A session that there is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the agent calls it.
    pub id: String,
    /// Its transcript, beneath the agent's directory.
    pub transcript: TreePath,
    /// When it was last added to.
    pub modified: SystemTime,
    /// The model that it used last; empty if that is not known.
    pub model: String,
    /// How much the agent might do without asking, in its own words; empty if that is not known.
    pub permissions: String,
    /// The version of the agent that went on with it last; empty if that is not known.
    pub version: String,
}

/// An agent's files cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The system refuses.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such session.
    #[error("there is no session {id} of {agent} in {}", directory.display())]
    NoSession {
        /// The agent.
        agent: &'static str,
        /// The session.
        id: String,
        /// The agent's directory.
        directory: PathBuf,
    },
    /// A run goes on with it.
    #[error("run {run} on {remote} goes on with session {id}")]
    Held {
        /// The session.
        id: String,
        /// The run's name.
        run: String,
        /// Where it runs.
        remote: String,
    },
    /// A handoff of it is kept here, which no receipt has come for.
    #[error("run {run}, which is kept here and not on {remote} yet, goes on with session {id}")]
    Unsent {
        /// The session.
        id: String,
        /// What the run is called.
        run: String,
        /// Where it goes.
        remote: String,
    },
    /// Another process hands it off.
    #[error("session {id} is being handed off by another process")]
    UnderWay {
        /// The session.
        id: String,
    },
    /// Its agent is in the middle of a turn.
    #[error("session {id} is at work here{}", pid.map(|pid| format!(", process {pid}")).unwrap_or_default())]
    Busy {
        /// The session.
        id: String,
        /// The agent's process, where that can be told.
        pid: Option<u32>,
    },
    /// Who holds a session cannot be told.
    #[error("cannot tell which run holds session {id}")]
    Lease {
        /// The session.
        id: String,
        /// Why.
        source: LeaseError,
    },
    /// A settings file is not what the agent writes.
    #[error("cannot understand {}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A settings file is not what the agent writes.
    #[error("cannot understand {}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
}

impl AgentError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Lease { source, .. } => source.hint(),
            Self::Held { run, .. } => Some(format!(
                "`handoff pull {run}` brings it back, `handoff say {run} TEXT` tells it more, `--fork` sends a copy of what is here"
            )),
            Self::Unsent { run, .. } => Some(format!(
                "`handoff resume-upload {run}` sends it, `handoff rm {run}` drops it, `--fork` sends a copy of what is here"
            )),
            Self::UnderWay { .. } => Some(
                "`handoff ls` shows when it is there; `--fork` sends a copy of what is here"
                    .to_owned(),
            ),
            Self::Busy { .. } => Some("wait until its turn is over, or interrupt it".to_owned()),
            Self::NoSession { .. } => {
                Some("leave `--session` out for the newest session of this directory".to_owned())
            }
            Self::Settings { .. } | Self::Toml { .. } => {
                Some("mend it, or move it away".to_owned())
            }
        }
    }

    /// What reading this path failed with.
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

/// What is set up for every session, read into memory: links are followed, as dotfiles often are
/// some, and what is too much stays.
pub(super) struct Setup<'a> {
    directory: &'a Path,
    bytes: u64,
    pub(super) files: Vec<ExportFile>,
    pub(super) stays: Vec<Stays>,
    pub(super) needs: Needs,
}

impl<'a> Setup<'a> {
    pub(super) fn new(directory: &'a Path) -> Self {
        let (files, stays, needs) = (Vec::new(), Vec::new(), Needs::default());
        Self { directory, bytes: 0, files, stays, needs }
    }

    /// Takes these files and directories along, as far as there are some, but for `left_out`.
    pub(super) fn take_along(
        &mut self,
        files: &[&str],
        directories: &[&str],
        left_out: &[&str],
    ) -> Result<(), AgentError> {
        files.iter().try_for_each(|name| self.file(name))?;
        directories.iter().try_for_each(|name| self.directory(name, left_out))
    }

    /// Takes a file along, if there is one.
    fn file(&mut self, name: &str) -> Result<(), AgentError> {
        let path = self.directory.join(name);
        match path.metadata() {
            Ok(meta) if meta.is_file() => self.take(&path, &meta, name.as_bytes()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(AgentError::read(&path)(error)),
        }
    }

    /// Takes everything beneath a directory along, if there is one, but for `left_out`.
    fn directory(&mut self, name: &str, left_out: &[&str]) -> Result<(), AgentError> {
        let top = self.directory.join(name);
        let mut entries = Vec::new();
        // A link to a directory above itself ends here too.
        let walk = walkdir::WalkDir::new(&top).follow_links(true).sort_by_file_name();
        for entry in walk {
            match entry {
                Ok(entry) if entry.file_type().is_file() => entries.push(entry),
                Ok(_) => {}
                Err(error) if error.depth() == 0 => return Ok(()),
                Err(error) => {
                    let what = error.path().unwrap_or(&top).display().to_string();
                    self.stays.push(Stays { what, why: error.to_string() });
                }
            }
            if entries.len() > SETUP_FILES_MAX {
                let why = format!("it holds more than {SETUP_FILES_MAX} files");
                self.stays.push(Stays { what: top.display().to_string(), why });
                return Ok(());
            }
        }
        for entry in entries {
            let path = entry.path();
            let relative = path.strip_prefix(self.directory).unwrap_or(path);
            let relative = relative.as_os_str().as_encoded_bytes().to_vec();
            if left_out.iter().any(|name| name.as_bytes() == relative) {
                continue;
            }
            let meta = path.metadata().map_err(AgentError::read(path))?;
            self.take(path, &meta, &relative)?;
        }
        Ok(())
    }

    /// Takes content of ours along.
    pub(super) fn text(&mut self, name: &'static str, content: Vec<u8>) {
        let path = name.parse().expect("a constant is a path");
        let content = ExportContent::Text { content, mode: 0o600, mtime: Timestamp::default() };
        self.files.push(ExportFile { path, content });
    }

    fn take(
        &mut self,
        path: &Path,
        meta: &fs::Metadata,
        relative: &[u8],
    ) -> Result<(), AgentError> {
        use std::os::unix::fs::MetadataExt as _;
        let at = TreePath::parse(relative).ok().filter(|at| !at.has_git_component());
        // Commands and skills are often clones; their history is of no use there.
        let Some(at) = at else { return Ok(()) };
        let stays = |why: String| Stays { what: path.display().to_string(), why };
        if self.bytes + meta.len() > SETUP_BYTES_MAX {
            let why = format!("what is set up for {} is over 32 MiB", self.directory.display());
            self.stays.push(stays(why));
            return Ok(());
        }
        let mut content = Vec::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(SETUP_BYTES_MAX).read_to_end(&mut content));
        if let Err(error) = read {
            self.stays.push(stays(error.to_string()));
            return Ok(());
        }
        self.bytes += content.len() as u64;
        let nanos = u32::try_from(meta.mtime_nsec()).unwrap_or_default();
        let mtime = Timestamp { secs: meta.mtime(), nanos };
        // Others than its owner have no business with it there either.
        let mode = meta.mode() & 0o700;
        let content = ExportContent::Text { content, mode, mtime };
        self.files.push(ExportFile { path: at, content });
        Ok(())
    }
}

/// The files of a session beneath a directory of the agent's, at whatever depth; none where there is
/// no such directory. `renamed` is the directory's name there.
pub(super) fn session_files(
    agent: &Path,
    name: &str,
    renamed: &str,
    stays: &mut Vec<Stays>,
) -> Vec<ExportFile> {
    let top = agent.join(name);
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(&top).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return files,
            Err(error) => {
                let what = error.path().unwrap_or(&top).display().to_string();
                stays.push(Stays { what, why: error.to_string() });
                continue;
            }
        };
        let Ok(beneath) = entry.path().strip_prefix(&top) else { continue };
        let at = |name: &str| {
            let path = Path::new(name).join(beneath);
            TreePath::parse(path.as_os_str().as_encoded_bytes()).ok()
        };
        if entry.file_type().is_file()
            && let Some((from, to)) = at(name).zip(at(renamed))
            && !from.has_git_component()
        {
            files.push(ExportFile { path: to, content: ExportContent::Session(from) });
        }
    }
    files
}
