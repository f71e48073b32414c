//! Puts a result together: the listing, the contents, the repositories.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use handoff_proto::chunk::{ChunkId, ChunkRef, chunk_reader};
use handoff_proto::manifest::{
    Entry, IndexEntry, Limits, ManifestError, ObjectFormat, Repository, RepositoryResult,
    ResultManifest, SnapshotManifest, version_of,
};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{Tracked, WalkError, WalkRepository};
use thiserror::Error;

use super::content;
use super::git::{self, CleanRepository, GitDirectory, GitError};
use super::listing::{self, Rules};
use super::note::{Note, reason};
use super::session::{self, SessionPlace};
use crate::workspace::Base;

/// In how many new repositories git is asked what is tracked; in others only the rules count.
const NEW_OPENED_MAX: usize = 256;

/// What to collect.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tree that the run left.
    pub tree: PathBuf,
    /// What there is of the snapshot.
    pub base: Base,
    /// An empty directory to work in.
    pub scratch: PathBuf,
    /// Places in the tree on which the run saw something else.
    pub mount_points: Vec<TreePath>,
    /// Where its agent's session is, if it has one.
    pub session: Option<SessionPlace>,
}

/// A result that has not been written yet.
#[derive(Debug)]
pub struct Collection {
    /// What it says.
    pub manifest: ResultManifest,
    /// What it lacks, and why.
    pub notes: Vec<Note>,
    /// The tree.
    pub(super) root: OwnedFd,
    /// The directory with the files of the session, if there is one.
    pub(super) session_root: Option<OwnedFd>,
    /// The pack of each repository that has one, by its place in the manifest.
    pub(super) packs: BTreeMap<usize, PathBuf>,
    /// The chunks that the snapshot holds.
    pub(super) known: HashSet<ChunkId>,
}

/// Nothing can be returned.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// What there is of the snapshot cannot be read.
    #[error("cannot read {}", path.display())]
    Base {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The snapshot's manifest.
    #[error("snapshot is damaged")]
    Snapshot(#[source] ManifestError),
    /// The tree.
    #[error("cannot list the tree")]
    Walk(#[from] WalkError),
    /// What was found exceeds what a result may hold.
    #[error("what the run left is no result")]
    Result(#[source] ManifestError),
}

/// Collects what a run left.
///
/// # Errors
///
/// Where the snapshot cannot be read, the tree not be listed, or a limit is exceeded. What is
/// wrong with single files and repositories is a note.
pub fn collect(request: &Request) -> Result<Collection, CollectError> {
    let base = read_base(&request.base)?;
    let rules = Rules {
        base: &base,
        excludes_file: read(&request.base.rules().ignore())?.unwrap_or_default(),
        include: read_globs(&request.base.rules().include())?,
        exclude: read_globs(&request.base.rules().exclude())?,
        mount_points: &request.mount_points,
    };
    let mut notes = Vec::new();
    let mut repositories = Repositories { request, base: &base, found: BTreeMap::new() };
    let mut tracked =
        |root: BorrowedFd<'_>, repository: &WalkRepository| repositories.tracked(root, repository);
    let mut listing = listing::list(&request.tree, &rules, &mut tracked, &mut notes)?;
    content::fill(&listing.root, &mut listing.entries, &mut notes);
    let new_repositories = new_repositories(&base, &listing.repositories);
    let (results, packs) = repositories.states(listing.root.as_fd(), &listing.entries, &mut notes);
    let session = request.session.as_ref().and_then(|place| session::collect(place, &mut notes));
    let (session, session_root) =
        session.map_or((None, None), |found| (Some(found.session), Some(found.root)));
    let manifest = ResultManifest {
        version: version_of(session.as_ref()),
        base: base.id(),
        root: base.root.clone(),
        entries: listing.entries,
        repositories: results,
        new_repositories,
        session,
    };
    manifest.validate(&Limits::DEFAULT).map_err(CollectError::Result)?;
    let known = base.chunks().map(|chunk| chunk.id).collect();
    Ok(Collection { manifest, notes, root: listing.root, session_root, packs, known })
}

fn read_base(base: &Base) -> Result<SnapshotManifest, CollectError> {
    let bytes = read(&base.manifest())?.unwrap_or_default();
    SnapshotManifest::decode(&bytes, &Limits::DEFAULT).map_err(CollectError::Snapshot)
}

/// Reads globs, each with a NUL byte after it; a run of an earlier version has none.
fn read_globs(path: &Path) -> Result<Vec<Vec<u8>>, CollectError> {
    let content = read(path)?.unwrap_or_default();
    let globs = content.split(|&byte| byte == 0).filter(|glob| !glob.is_empty());
    Ok(globs.map(<[u8]>::to_vec).collect())
}

/// Reads a file of the daemon's; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, CollectError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CollectError::Base { path: path.to_owned(), source }),
    }
}

/// The repositories that the snapshot lacks: only their files are returned.
fn new_repositories(base: &SnapshotManifest, found: &[WalkRepository]) -> Vec<TreePath> {
    let known: HashSet<Option<&TreePath>> =
        base.repositories.iter().map(|repository| repository.path.as_ref()).collect();
    let is_new = |repository: &&WalkRepository| !known.contains(&repository.path.as_ref());
    found.iter().filter(is_new).filter_map(|repository| repository.path.clone()).collect()
}

/// The repositories that the walk comes upon.
struct Repositories<'a> {
    request: &'a Request,
    base: &'a SnapshotManifest,
    found: BTreeMap<Option<TreePath>, Found>,
}

/// One of them.
struct Found {
    /// Its place in the snapshot; `None` for a new one.
    base: Option<usize>,
    git_dir: Option<TreePath>,
    opened: Result<(CleanRepository, Vec<IndexEntry>), GitError>,
}

impl Repositories<'_> {
    /// What a repository tracks; `None` where a `.git` makes none.
    fn tracked(&mut self, root: BorrowedFd<'_>, repository: &WalkRepository) -> Option<Tracked> {
        let place = self.base.repositories.iter().position(|known| known.path == repository.path);
        let base = place.map(|place| &self.base.repositories[place]);
        // Where it is now counts; where it was, if that cannot be told.
        let git_dir = repository.git_dir.clone().or_else(|| base.map(|base| base.git_dir.clone()));
        let number = self.found.len();
        let opened = match &git_dir {
            _ if base.is_none() && number >= self.base.repositories.len() + NEW_OPENED_MAX => {
                Err(GitError::TooMany { what: "new repositories", limit: NEW_OPENED_MAX })
            }
            Some(git_dir) => self.open(root, git_dir, base, number),
            None => Err(GitError::Odd {
                path: repository.path.as_ref().map_or_else(|| ".".to_owned(), ToString::to_string),
                problem: "has its git directory elsewhere",
            }),
        };
        if base.is_none() && matches!(&opened, Err(GitError::NoRepository)) {
            return None;
        }
        let index = opened.as_ref().map_or(&[][..], |(_, index)| index);
        let tracked = Tracked {
            paths: index.iter().map(|entry| entry.path.clone()).collect(),
            ..Tracked::default()
        };
        self.found.insert(repository.path.clone(), Found { base: place, git_dir, opened });
        Some(tracked)
    }

    fn open(
        &self,
        root: BorrowedFd<'_>,
        git_dir: &TreePath,
        base: Option<&Repository>,
        number: usize,
    ) -> Result<(CleanRepository, Vec<IndexEntry>), GitError> {
        let directory = self.directory(root, git_dir, base);
        if !directory.is_repository()? {
            return Err(GitError::NoRepository);
        }
        let scratch = self.request.scratch.join(format!("repository-{number}"));
        let clean = CleanRepository::create(scratch, directory)?;
        let index = clean.read_index(directory)?;
        Ok((clean, index))
    }

    fn directory<'b>(
        &'b self,
        root: BorrowedFd<'b>,
        path: &'b TreePath,
        base: Option<&Repository>,
    ) -> GitDirectory<'b> {
        let format = base.map_or(ObjectFormat::Sha1, |base| base.state.object_format);
        GitDirectory { root, tree: &self.request.tree, path, format }
    }

    /// The states of those that the snapshot has, and where their packs are.
    fn states(
        &self,
        root: BorrowedFd<'_>,
        entries: &[Entry],
        notes: &mut Vec<Note>,
    ) -> (Vec<RepositoryResult>, BTreeMap<usize, PathBuf>) {
        let mut results = Vec::new();
        let mut packs = BTreeMap::new();
        for (path, found) in &self.found {
            let Some(place) = found.base else { continue };
            let is_there = |path: &TreePath| {
                let entry = entries.binary_search_by(|entry| entry.path.cmp(path));
                entry.is_ok_and(|number| entries[number].is_directory())
            };
            if !path.as_ref().is_none_or(is_there) {
                continue;
            }
            match self.state(root, place, found, notes) {
                Ok((result, pack)) => {
                    packs.extend(pack.map(|pack| (results.len(), pack)));
                    results.push(result);
                }
                Err(reason) => notes.push(Note::Repository { path: path.clone(), reason }),
            }
        }
        (results, packs)
    }

    fn state(
        &self,
        root: BorrowedFd<'_>,
        place: usize,
        found: &Found,
        notes: &mut Vec<Note>,
    ) -> Result<(RepositoryResult, Option<PathBuf>), String> {
        let base = &self.base.repositories[place];
        let (clean, index) = found.opened.as_ref().map_err(|error| reason(error))?;
        let git_dir = found.git_dir.as_ref().unwrap_or(&base.git_dir);
        let directory = self.directory(root, git_dir, Some(base));
        let base_git = self.request.base.git(place);
        let state = git::state(directory, base, &base_git, clean, index.clone(), notes)
            .map_err(|error| reason(&error))?;
        let pack = state.has_pack.then(|| clean.pack());
        let chunks = pack.as_deref().map_or(Ok(Vec::new()), chunks_of);
        let result = RepositoryResult {
            path: base.path.clone(),
            object_format: base.state.object_format,
            head: state.head,
            refs: state.refs,
            index: state.index,
            in_progress: state.in_progress,
            pack: chunks.map_err(|error| reason(&GitError::Scratch(error)))?,
        };
        Ok((result, pack))
    }
}

/// The chunks of a file of ours.
fn chunks_of(path: &Path) -> io::Result<Vec<ChunkRef>> {
    let mut chunks = Vec::new();
    chunk_reader(std::fs::File::open(path)?, |chunk, _| {
        chunks.push(chunk);
        Ok::<(), io::Error>(())
    })?;
    Ok(chunks)
}
