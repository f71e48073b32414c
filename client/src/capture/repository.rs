//! What git says about one repository: where it is, what it tracks, the state that counts.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::manifest::{
    Head, IndexEntry, ObjectFormat, Oid, Operation, RefName, RepositoryState, index_digest,
};
use handoff_proto::tree::{Case, Tracked};

use super::git::{Git, GitError};
use super::index;

/// A repository on this machine.
#[derive(Clone, Debug)]
pub(super) struct LocalRepository {
    git: Git,
    object_format: ObjectFormat,
    /// The git directory of this working tree, absolute.
    pub(super) git_dir: PathBuf,
    /// What all working trees of the repository share; the same where there is only one.
    pub(super) common_dir: PathBuf,
}

/// Everything that git was asked about a repository at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) index: Vec<IndexEntry>,
    pub(super) state: RepositoryState,
}

/// A repository cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// git does not answer.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file in the git directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LocalRepository {
    /// The repository whose working tree is exactly this directory; `None` if there is none.
    pub(super) fn open(worktree: &Path) -> Result<Option<Self>, GitError> {
        let git = Git::new(worktree);
        match git.toplevel()? {
            Some(toplevel) if same_directory(Path::new(OsStr::from_bytes(&toplevel)), worktree) => {
            }
            // A `.git` that git does not take for one; the answer is about what is around it.
            Some(_) | None => return Ok(None),
        }
        let format = git.ask_for_one(&["rev-parse", "--show-object-format"])?.unwrap_or_default();
        let object_format = match format.as_slice() {
            b"sha1" => ObjectFormat::Sha1,
            b"sha256" => ObjectFormat::Sha256,
            _ => return Err(git.senseless(&["rev-parse", "--show-object-format"])),
        };
        let git_dir = directory(&git, "--absolute-git-dir")?;
        let common_dir = directory(&git, "--git-common-dir")?;
        Ok(Some(Self { git, object_format, git_dir, common_dir }))
    }

    /// Whether its git directory serves one of several working trees.
    pub(super) fn is_linked_worktree(&self) -> bool {
        self.git_dir != self.common_dir
    }

    /// Asks git for everything that counts.
    pub(super) fn look(&self) -> Result<Snapshot, RepositoryError> {
        let listing = self.git.ask(&index::LIST)?;
        let index = index::parse(&listing).ok_or_else(|| self.git.senseless(&index::LIST))?;
        let state = RepositoryState {
            object_format: self.object_format,
            head: self.head()?,
            refs: self.refs()?,
            index_digest: index_digest(&index),
            in_progress: self.in_progress()?,
        };
        Ok(Snapshot { index, state })
    }

    /// What a walk has to know. The walk reads `info/exclude` of git directories in the tree by
    /// itself.
    pub(super) fn tracked(&self, index: &[IndexEntry]) -> Result<Tracked, RepositoryError> {
        let ignore_case =
            self.git.ask_for_one(&["config", "--type=bool", "--get", "core.ignoreCase"])?;
        Ok(Tracked {
            paths: index.iter().map(|entry| entry.path.clone()).collect(),
            info_exclude: read_if_any(&self.common_dir.join("info/exclude"))?,
            case: match ignore_case.as_deref() {
                Some(b"true") => Case::Insensitive,
                Some(_) | None => Case::Sensitive,
            },
        })
    }

    /// The lock that git holds while it changes the index.
    pub(super) fn index_lock(&self) -> PathBuf {
        self.git_dir.join("index.lock")
    }

    /// What exists while git packs the repository anew.
    pub(super) fn housekeeping_lock(&self) -> PathBuf {
        self.common_dir.join("gc.pid")
    }

    fn head(&self) -> Result<Head, RepositoryError> {
        let verify = ["rev-parse", "--verify", "--quiet", "HEAD"];
        let oid = match self.git.ask_for_one(&verify)? {
            Some(hex) => Some(Oid::parse(&hex).map_err(|_| self.git.senseless(&verify))?),
            None => None,
        };
        let symbolic = ["symbolic-ref", "--quiet", "HEAD"];
        match (self.git.ask_for_one(&symbolic)?, oid) {
            (Some(name), oid) => {
                let name = RefName::parse(&name).map_err(|_| self.git.senseless(&symbolic))?;
                Ok(Head::Branch(name, oid))
            }
            (None, Some(oid)) => Ok(Head::Detached(oid)),
            (None, None) => Err(self.git.senseless(&verify).into()),
        }
    }

    fn refs(&self) -> Result<Vec<(RefName, Oid)>, RepositoryError> {
        let list = ["for-each-ref", "--format=%(objectname) %(refname) %(symref)"];
        let listing = self.git.ask(&list)?;
        let mut refs = Vec::new();
        for line in listing.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let mut words = line.split(|&byte| byte == b' ');
            let (oid, name, symbolic) = (words.next(), words.next(), words.next());
            if symbolic.is_some_and(|target| !target.is_empty()) {
                continue;
            }
            let oid = oid.and_then(|hex| Oid::parse(hex).ok());
            let name = name.and_then(|name| RefName::parse(name).ok());
            match (name, oid) {
                (Some(name), Some(oid)) => refs.push((name, oid)),
                (_, _) => return Err(self.git.senseless(&list).into()),
            }
        }
        refs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(refs)
    }

    fn in_progress(&self) -> Result<Vec<(Operation, Vec<Oid>)>, RepositoryError> {
        let mut found = Vec::new();
        for operation in Operation::ALL {
            let heads = match operation.head_file() {
                Some(file) => read_if_any(&self.git_dir.join(file))?,
                None => None,
            };
            let exists = |name: &str| self.git_dir.join(name).exists();
            let under_way = match operation {
                Operation::Merge | Operation::CherryPick | Operation::Revert => heads.is_some(),
                Operation::Rebase => exists("rebase-merge") || exists("rebase-apply"),
                Operation::Bisect => exists("BISECT_LOG"),
            };
            if under_way {
                found.push((operation, parse_heads(&heads.unwrap_or_default())));
            }
        }
        Ok(found)
    }
}

/// One id a line; what is no id is git's business, not ours.
fn parse_heads(content: &[u8]) -> Vec<Oid> {
    content.split(|&byte| byte == b'\n').filter_map(|line| Oid::parse(line).ok()).collect()
}

fn directory(git: &Git, which: &str) -> Result<PathBuf, GitError> {
    let words = ["rev-parse", "--path-format=absolute", which];
    let path = git.ask_for_one(&words)?.ok_or_else(|| git.senseless(&words))?;
    let path = Path::new(OsStr::from_bytes(&path));
    path.canonicalize().map_err(|_| git.senseless(&words))
}

fn same_directory(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        (_, _) => false,
    }
}

pub(super) fn read_if_any(path: &Path) -> Result<Option<Vec<u8>>, RepositoryError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(source) => Err(RepositoryError::Read { path: path.to_owned(), source }),
    }
}
