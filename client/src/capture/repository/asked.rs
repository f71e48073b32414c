//! Asks the user's git about a repository.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::manifest::{Head, ObjectFormat, Oid, RefName, RepositoryState, index_digest};
use handoff_proto::tree::TrackedPaths;

use crate::capture::git::{Git, GitError};

use super::{LocalRepository, RepositoryError, SeenIndex, Snapshot, Way, listing};

/// As [`LocalRepository::open`].
pub(super) fn open(worktree: &Path) -> Result<Option<LocalRepository>, GitError> {
    let git = Git::new(worktree);
    match git.toplevel()? {
        Some(toplevel) if same_directory(Path::new(OsStr::from_bytes(&toplevel)), worktree) => {}
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
    Ok(Some(LocalRepository { git, object_format, git_dir, common_dir, way: Way::Git }))
}

/// As [`LocalRepository::look`].
pub(super) fn look(
    repository: &LocalRepository,
) -> Result<(Snapshot, TrackedPaths), RepositoryError> {
    let git = &repository.git;
    let answer = git.ask(&listing::LIST)?;
    let index = listing::parse(&answer).ok_or_else(|| git.senseless(&listing::LIST))?;
    let state = RepositoryState {
        object_format: repository.object_format,
        head: head(git)?,
        refs: refs(git)?,
        index_digest: index_digest(&index),
        in_progress: repository.in_progress(|_| {})?,
    };
    let seen = SeenIndex { content: None, size: 0, digest: state.index_digest };
    let snapshot = Snapshot { state, index: seen, witnesses: None };
    Ok((snapshot, index.into_iter().map(|entry| entry.path).collect()))
}

/// Whether ignore rules match letters in either case.
pub(super) fn ignores_case(git: &Git) -> Result<bool, GitError> {
    let answer = git.ask_for_one(&["config", "--type=bool", "--get", "core.ignoreCase"])?;
    Ok(answer.as_deref() == Some(b"true"))
}

fn head(git: &Git) -> Result<Head, RepositoryError> {
    let verify = ["rev-parse", "--verify", "--quiet", "HEAD"];
    let oid = match git.ask_for_one(&verify)? {
        Some(hex) => Some(Oid::parse(&hex).map_err(|_| git.senseless(&verify))?),
        None => None,
    };
    let symbolic = ["symbolic-ref", "--quiet", "HEAD"];
    match (git.ask_for_one(&symbolic)?, oid) {
        (Some(name), oid) => {
            let name = RefName::parse(&name).map_err(|_| git.senseless(&symbolic))?;
            Ok(Head::Branch(name, oid))
        }
        (None, Some(oid)) => Ok(Head::Detached(oid)),
        (None, None) => Err(git.senseless(&verify).into()),
    }
}

fn refs(git: &Git) -> Result<Vec<(RefName, Oid)>, RepositoryError> {
    let list = ["for-each-ref", "--format=%(objectname) %(refname) %(symref)"];
    let listing = git.ask(&list)?;
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
            (_, _) => return Err(git.senseless(&list).into()),
        }
    }
    refs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(refs)
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
