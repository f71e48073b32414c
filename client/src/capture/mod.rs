//! From a directory to a snapshot: walk once, ask git, read every file once, check that nothing
//! moved meanwhile.
//!
//! Blocks; memory does not grow with the size of files. What was captured stays where it is: when
//! it is sent, [`Capture`] reads it again and notices if it is no longer the same. Only reads, but
//! for git, which may write nothing either.

pub mod account;
pub mod environment;
pub mod git;
pub mod repacked;
pub mod root;
pub mod user_git;

mod alternates;
mod config;
mod config_syntax;
mod content;
mod credentials;
mod error;
mod layout;
mod lock;
mod read;
mod repository;
mod session;
mod source;
mod stat_cache;
mod unsupported;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use handoff_proto::manifest::{Limits, Repository, SnapshotId, SnapshotManifest, version_of};
use handoff_proto::path::{AbsolutePath, TreePath};
use handoff_proto::tree::{
    Dropped, FileError, GitDirectories, LeftOut, Origin, Tracked, Walk, WalkError, WalkOptions,
    WalkRepository, walk,
};

pub use self::content::{ChangedSince, Chunks};
pub use self::error::CaptureError;
pub use self::git::GitError;
pub use self::layout::LayoutError;
pub use self::lock::LockError;
pub use self::read::{ReadError, Reading};
pub use self::repository::RepositoryError;
pub use self::session::SessionError;
pub use self::unsupported::Unsupported;

use crate::agents::Export;

use self::layout::{Found, Layout};
use self::read::ReadTree;
use self::repository::{LocalRepository, SeenIndex};
use self::source::Directory;
use self::stat_cache::{
    CachedNames, Captured, LazyCache, Moment, Settled, Stamp, StatCache, telling_device,
};

/// How often a tree that moves while it is captured is captured anew.
const ATTEMPTS: usize = 5;

/// What to capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root of the tree.
    pub root: AbsolutePath,
    /// Globs of ignored things to carry nevertheless.
    pub include: Vec<Vec<u8>>,
    /// Globs of things not to carry.
    pub exclude: Vec<Vec<u8>>,
    /// The content of git's `core.excludesFile`.
    pub excludes_file: Vec<u8>,
    /// `core.ignoreCase` of the user, for repositories that do not say themselves.
    pub ignore_case: bool,
    /// The directory of stat caches; without one everything is read.
    pub stat_cache: Option<PathBuf>,
    /// What the remote has of the repositories from earlier snapshots; packs that were only packed
    /// anew since then are not carried again.
    pub packs: Option<repacked::PackMemory>,
    /// What of an agent travels with the tree.
    pub agent: Option<Arc<Export>>,
}

impl Options {
    /// All of a tree that its own rules carry, read as it is now.
    #[must_use]
    pub fn new(root: AbsolutePath) -> Self {
        Self {
            root,
            include: Vec::new(),
            exclude: Vec::new(),
            excludes_file: Vec::new(),
            ignore_case: false,
            stat_cache: None,
            packs: None,
            agent: None,
        }
    }
}

/// A captured tree.
#[derive(Debug)]
pub struct Capture {
    /// The snapshot.
    pub manifest: SnapshotManifest,
    /// Its canonical encoding.
    pub encoded: Vec<u8>,
    /// Its id.
    pub id: SnapshotId,
    /// What is not carried.
    pub left_out: Vec<LeftOut>,
    /// Attributes that are not carried.
    pub dropped: Dropped,
    /// Settings files whose secrets were left out, with the settings.
    pub redacted: Vec<(TreePath, Vec<String>)>,
    /// Why each entry of the manifest is carried, in the same order.
    pub origins: Vec<Origin>,
    directory: Directory,
    /// Of each entry, and then of each file of the session.
    sources: Vec<source::Source>,
    /// What each file was when its content was read; none where it may have changed since without
    /// being stamped anew.
    stamps: Vec<Option<Stamp>>,
}

/// Captures a tree. `on_read` is told how reading gets on, by several threads.
///
/// # Errors
///
/// See [`CaptureError`]; nothing is left behind.
pub fn capture(
    options: &Options,
    on_read: &(dyn Fn(Reading) + Sync),
) -> Result<Capture, CaptureError> {
    let root = &options.root;
    if let Some(top) = root.reserved_top_level() {
        let top = String::from_utf8_lossy(top).into_owned();
        return Err(CaptureError::Reserved { root: root.clone(), top });
    }
    unsupported::check_root(root.as_os_path()).map_err(CaptureError::Unsupported)?;
    let cache = LazyCache::new(options.stat_cache.as_deref(), root);
    thread::scope(|scope| {
        // It is read while the walk begins. Without the thread that happens when it is first used.
        drop(thread::Builder::new().spawn_scoped(scope, || cache.get()));
        for number in 0..ATTEMPTS {
            match attempt(number, options, &cache, on_read)? {
                Attempt::Settled(capture) => return Ok(*capture),
                Attempt::Moved(housekeeping) => {
                    for lock in housekeeping {
                        // One that stays was left behind long ago; the next attempt will tell.
                        drop(lock::wait_until_free(&lock, lock::HOUSEKEEPING_WAIT_MAX));
                    }
                }
            }
        }
        Err(CaptureError::Unsettled { root: root.clone() })
    })
}

/// Forgets what earlier captures of a tree have read.
pub fn forget(stat_caches: &Path, root: &AbsolutePath) {
    // One that cannot be removed is as hard to read.
    drop(std::fs::remove_file(stat_cache::place(stat_caches, root)));
}

/// What became of one attempt.
enum Attempt {
    Settled(Box<Capture>),
    /// Files or references came or went. Names what exists while git is at work that does so.
    Moved(Vec<PathBuf>),
}

fn attempt(
    number: usize,
    options: &Options,
    cache: &LazyCache<'_>,
    on_read: &(dyn Fn(Reading) + Sync),
) -> Result<Attempt, CaptureError> {
    let root = &options.root;
    let began = Moment::now();
    let directory = Directory::open(root.as_os_path())
        .map_err(|source| CaptureError::Open { path: root.as_os_path().to_owned(), source })?;
    let device = telling_device(directory.fd());
    // Later attempts read every directory, whatever made the first one fail.
    let names = CachedNames::new(cache, device.filter(|_| number == 0));
    let (mut walk, repositories) = match list(options, cache, &names) {
        Err(CaptureError::Walk { source: WalkError::File(FileError::Changed { .. }), .. })
            if number + 1 < ATTEMPTS =>
        {
            return Ok(Attempt::Moved(Vec::new()));
        }
        listed => listed?,
    };
    on_read(Reading::Listed);
    let cache = cache.get();
    let looked_into = std::mem::take(&mut walk.looked_into);
    let moved = || {
        let locks = repositories.iter().map(|found| found.local.housekeeping_lock());
        Ok(Attempt::Moved(locks.collect()))
    };
    let (root_meta, left_out, dropped) = (walk.root, walk.left_out.clone(), walk.dropped.clone());
    let layout = match layout::compose(root, &directory, walk, &repositories) {
        Ok(layout) => layout,
        Err(error) if error.is_stale() => return moved(),
        Err(LayoutError::Unsupported(layout)) => return Err(CaptureError::Unsupported(layout)),
        Err(error) => return Err(CaptureError::Layout(error)),
    };
    let Layout { items, git_dirs, redacted } = layout;
    let items = repacked::exchange(items, &directory, options.packs.as_ref());
    let ReadTree { entries, mut sources, origins, mut stamps, new_cost } =
        match read::read_all(&directory, items, cache, began, on_read) {
            Ok(tree) => tree,
            Err(error) if error.is_stale() => return moved(),
            Err(source) => return Err(CaptureError::Read { root: root.clone(), source }),
        };
    if !is_settled(&repositories)? {
        return moved();
    }
    let indexes: Vec<SeenIndex> = repositories.iter().map(|found| found.seen.index).collect();
    let repositories = repositories.into_iter().zip(git_dirs);
    let session = options.agent.as_deref().map(session::read).transpose();
    let session = session.map_err(CaptureError::Session)?.map(|read| {
        // They come after those of the tree, in the same order.
        stamps.resize(stamps.len() + read.sources.len(), None);
        sources.extend(read.sources);
        read.session
    });
    let manifest = SnapshotManifest {
        version: version_of(session.as_ref()),
        root: root.clone(),
        root_mode: root_meta.permissions(),
        root_mtime: root_meta.mtime,
        entries,
        repositories: repositories
            .map(|(found, git_dir)| Repository {
                path: found.path,
                git_dir,
                state: found.seen.state,
            })
            .collect(),
        session,
    };
    let encoded = manifest
        .encode_checked(&Limits::DEFAULT)
        .map_err(|source| CaptureError::Manifest { root: root.clone(), source })?;
    let directories = Settled::of(&looked_into, cache, &directory, device, began);
    remember(cache, &indexes, directories, &manifest, &stamps, new_cost);
    Ok(Attempt::Settled(Box::new(Capture {
        id: SnapshotId::of(&encoded),
        manifest,
        encoded,
        left_out,
        dropped,
        redacted,
        origins,
        directory,
        sources,
        stamps,
    })))
}

/// Remembers what was read for the next capture.
fn remember(
    cache: &StatCache,
    indexes: &[SeenIndex],
    directories: Settled<'_>,
    manifest: &SnapshotManifest,
    stamps: &[Option<Stamp>],
    mut new_cost: u64,
) {
    let mut digests = Vec::new();
    for index in indexes {
        let Some(content) = index.content else { continue };
        if cache.index_digest(&content).is_none() {
            new_cost = new_cost.saturating_add(index.size);
        }
        digests.push((content, index.digest));
    }
    new_cost = new_cost.saturating_add(directories.new_cost());
    let files = manifest.entries.iter().zip(stamps).filter_map(|(entry, stamp)| {
        stamp.map(|stamp| (entry.path.as_bytes(), stamp, entry.chunks()))
    });
    // A capture that is not remembered is as good as one that is.
    let directories = directories.iter();
    drop(cache.update(new_cost, Captured { indexes: &digests, directories, files }));
}

/// Walks the tree, asking git about each repository on the way.
fn list(
    options: &Options,
    cache: &LazyCache<'_>,
    names: &CachedNames<'_>,
) -> Result<(Walk, Vec<Found>), CaptureError> {
    let root = options.root.as_os_path();
    let mut found = Vec::new();
    let mut failure = None;
    let mut tracked = |repository: &WalkRepository| {
        let asked = ask(options, cache, repository, &mut found);
        asked.map_err(|error| {
            failure = Some(error);
            // The walk only has to stop.
            "git does not answer".into()
        })
    };
    let walk_options = WalkOptions {
        git: GitDirectories::Carry,
        excludes_file: options.excludes_file.clone(),
        include: options.include.clone(),
        exclude: options.exclude.clone(),
        threads: NonZero::new(read::threads()).unwrap_or(NonZero::<usize>::MIN),
        known: Some(names),
    };
    let walked = walk(root, &walk_options, &mut tracked);
    if let Some(failure) = failure {
        return Err(failure);
    }
    let walk =
        walked.map_err(|source| CaptureError::Walk { root: options.root.clone(), source })?;
    found.retain(|found: &Found| walk.repositories.iter().any(|kept| kept.path == found.path));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((walk, found))
}

fn ask(
    options: &Options,
    cache: &LazyCache<'_>,
    repository: &WalkRepository,
    found: &mut Vec<Found>,
) -> Result<Option<Tracked>, CaptureError> {
    let root = options.root.as_os_path();
    let worktree = match &repository.path {
        Some(path) => root.join(path.as_os_path()),
        None => root.to_owned(),
    };
    let opened = LocalRepository::open(&worktree).map_err(RepositoryError::Git);
    let Some(local) = opened.map_err(CaptureError::Repository)? else {
        return Ok(None);
    };
    unsupported::check(&local).map_err(CaptureError::Unsupported)?;
    lock::wait_until_free(&local.index_lock(), lock::WAIT_MAX).map_err(CaptureError::Locked)?;
    let recall = |content: &[u8; 32]| cache.get().index_digest(content);
    let (seen, paths) = local.look(&recall).map_err(CaptureError::Repository)?;
    let tracked = local.tracked(paths, options.ignore_case).map_err(CaptureError::Repository)?;
    found.push(Found {
        path: repository.path.clone(),
        location: repository.git,
        git_dir: repository.git_dir.clone(),
        local,
        seen,
    });
    Ok(Some(tracked))
}

/// Whether no repository has moved since it was looked at.
fn is_settled(repositories: &[Found]) -> Result<bool, CaptureError> {
    for found in repositories {
        if found.local.index_lock().exists() {
            return Ok(false);
        }
        if !found.local.is_still(&found.seen).map_err(CaptureError::Repository)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
