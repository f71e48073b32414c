//! Composes what is carried: the tree as it was walked, with git directories that lie elsewhere
//! brought in, borrowed objects added and credentials taken out.
//!
//! A linked worktree becomes a repository of its own: what its working trees share and what it has
//! for itself are put together in one `.git`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_proto::manifest::Timestamp;
use handoff_proto::path::{AbsolutePath, PathError, TreePath};
use handoff_proto::tree::{
    FileError, GitLocation, Origin, Walk, WalkEntry, WalkError, WalkKind, walk_git_directory,
};

use super::alternates;
use super::credentials::redact;
use super::git::GitError;
use super::repository::{LocalRepository, Snapshot};
use super::source::{Directory, Source};
use super::stat_cache::Stamp;
use super::unsupported::Unsupported;

/// What the working trees of a repository share, beside `objects` and `refs`.
const SHARED: [&[u8]; 17] = [
    b"annex",
    b"branches",
    b"config",
    b"description",
    b"hooks",
    b"info",
    b"lfs",
    b"logs",
    b"lost-found",
    b"objects",
    b"packed-refs",
    b"refs",
    b"reftable",
    b"remotes",
    b"rr-cache",
    b"shallow",
    b"svn",
];

/// What each of them has for itself although it lies in a directory that they share.
const NOT_SHARED: [&[u8]; 8] = [
    b"info/sparse-checkout",
    b"logs/HEAD",
    b"logs/refs/bisect",
    b"logs/refs/rewritten",
    b"logs/refs/worktree",
    b"refs/bisect",
    b"refs/rewritten",
    b"refs/worktree",
];

/// What ties a linked worktree to the repository that it was made from.
const TIES: [&[u8]; 3] = [b"commondir", b"gitdir", b"locked"];

/// One carried thing.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) path: TreePath,
    pub(super) mode: u32,
    pub(super) mtime: Timestamp,
    pub(super) origin: Origin,
    pub(super) kind: ItemKind,
    /// What a file on disk was when it was listed.
    pub(super) stamp: Option<Stamp>,
}

impl Item {
    /// The size of a file in bytes; 0 for anything else.
    pub(super) fn size(&self) -> u64 {
        match self.kind {
            ItemKind::File { size, .. } => size,
            ItemKind::Directory | ItemKind::Symlink { .. } => 0,
        }
    }
}

/// What a carried thing is.
#[derive(Clone, Debug)]
pub(super) enum ItemKind {
    Directory,
    Symlink { target: Vec<u8> },
    File { size: u64, source: Source },
}

/// A repository that the walk found, with what git says about it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: Option<TreePath>,
    pub(super) location: GitLocation,
    /// Where the walk saw its git directory in the tree.
    pub(super) git_dir: Option<TreePath>,
    pub(super) local: LocalRepository,
    pub(super) seen: Snapshot,
}

/// What is carried, and what had to be changed for that.
#[derive(Debug)]
pub(super) struct Layout {
    /// Sorted by path, each once.
    pub(super) items: Vec<Item>,
    /// Where each repository's git directory is carried; in the order of the repositories.
    pub(super) git_dirs: Vec<TreePath>,
    /// Settings files whose secrets were left out, with the settings.
    pub(super) redacted: Vec<(TreePath, Vec<String>)>,
}

/// The tree cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A git directory elsewhere cannot be opened.
    #[error("cannot open the git directory {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A git directory elsewhere cannot be listed.
    #[error("cannot carry the git directory {path}")]
    Walk {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: WalkError,
    },
    /// The list of object directories that a repository borrows from cannot be read.
    #[error("cannot read {path}")]
    Alternates {
        /// The list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A settings file cannot be read.
    #[error("cannot read git's settings")]
    Config(#[source] FileError),
    /// git cannot parse a settings file.
    #[error("cannot look for credentials in {path}")]
    Secrets {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GitError,
    },
    /// A layout that is not carried.
    #[error(transparent)]
    Unsupported(Unsupported),
    /// A path gets too long.
    #[error("a git directory cannot be carried")]
    Path(#[from] PathError),
}

impl LayoutError {
    /// Whether the tree is not what it was when it was walked.
    pub(super) fn is_stale(&self) -> bool {
        match self {
            Self::Config(error) => error.is_not_found(),
            Self::Walk { source: WalkError::File(FileError::Changed { .. }), .. } => true,
            _ => false,
        }
    }
}

/// Composes what is carried.
pub(super) fn compose(
    root: &AbsolutePath,
    directory: &Directory,
    walk: Walk,
    repositories: &[Found],
) -> Result<Layout, LayoutError> {
    let mut composer = Composer {
        root,
        items: walk.entries.into_iter().map(|entry| item(entry, Source::Tree)).collect(),
        is_sorted: true,
        removed: BTreeSet::new(),
        moved: BTreeSet::new(),
    };
    let mut git_dirs = Vec::new();
    let mut objects = BTreeMap::new();
    for found in repositories {
        let (git_dir, common) = composer.place(found)?;
        objects.insert(common.join(b"objects")?, found.local.common_dir.join("objects"));
        git_dirs.push(git_dir);
    }
    for (at, from) in objects {
        composer.add_borrowed_objects(&at, &from)?;
    }
    let mut items = composer.finish();
    let redacted = redact(directory, &mut items, &composer.moved)?;
    Ok(Layout { items, git_dirs, redacted })
}

struct Composer<'a> {
    root: &'a AbsolutePath,
    /// Of two things with one path the first counts.
    items: Vec<Item>,
    /// Whether they are in the order of their paths: until something is brought in.
    is_sorted: bool,
    removed: BTreeSet<TreePath>,
    /// Git directories that were brought in.
    moved: BTreeSet<TreePath>,
}

impl Composer<'_> {
    /// Decides where a repository's git directory and the directory that its working trees share
    /// are carried; brings them in where they are not in the tree.
    fn place(&mut self, found: &Found) -> Result<(TreePath, TreePath), LayoutError> {
        if let Some(git_dir) = self.in_tree(found) {
            if !found.local.is_linked_worktree() {
                return Ok((git_dir.clone(), git_dir));
            }
            if let Some(common) = self.carried(&found.local.common_dir) {
                return Ok((git_dir, common));
            }
        }
        let dot_git = match &found.path {
            Some(path) => path.join(b".git")?,
            None => TreePath::parse(b".git")?,
        };
        self.items.retain(|item| !item.path.starts_with(&dot_git));
        if found.local.is_linked_worktree() {
            self.bring_in(&found.local.git_dir, &dot_git, |path| !TIES.contains(&path.as_bytes()))?;
            self.bring_in(&found.local.common_dir, &dot_git, is_shared)?;
        } else {
            self.bring_in(&found.local.git_dir, &dot_git, |_| true)?;
        }
        self.moved.insert(dot_git.clone());
        Ok((dot_git.clone(), dot_git))
    }

    /// Where the git directory is in the tree, if the repository finds it there at the same path.
    fn in_tree(&self, found: &Found) -> Option<TreePath> {
        let carried = self.carried(&found.local.git_dir)?;
        let reached = match found.location {
            GitLocation::Directory | GitLocation::Symlink => true,
            // An absolute path that leads into the tree through a link elsewhere does not.
            GitLocation::File => found.git_dir.is_some() || self.names_tree(found),
        };
        reached.then_some(carried)
    }

    /// Whether a `.git` file holds an absolute path beneath the root.
    fn names_tree(&self, found: &Found) -> bool {
        let root = self.root.as_os_path();
        let worktree =
            found.path.as_ref().map_or(root.to_owned(), |path| root.join(path.as_os_path()));
        let content = std::fs::read(worktree.join(".git")).unwrap_or_default();
        let target = content.strip_prefix(b"gitdir: ").unwrap_or_default().trim_ascii_end();
        AbsolutePath::parse(target).is_ok_and(|target| target.starts_with(self.root))
    }

    /// The path in the tree of a directory that is carried.
    fn carried(&self, directory: &Path) -> Option<TreePath> {
        let directory = AbsolutePath::try_from(directory).ok()?.below_root();
        let path = directory.strip_prefix(&self.root.below_root())?;
        let found = match self.is_sorted {
            true => self.items.binary_search_by(|item| item.path.cmp(&path)).is_ok(),
            false => self.items.iter().any(|item| item.path == path),
        };
        found.then_some(path)
    }

    fn bring_in(
        &mut self,
        from: &Path,
        at: &TreePath,
        wanted: impl Fn(&TreePath) -> bool,
    ) -> Result<(), LayoutError> {
        let open = |source| LayoutError::Open { path: from.to_owned(), source };
        let directory = Arc::new(Directory::open(from).map_err(open)?);
        let listing = |source| LayoutError::Walk { path: from.to_owned(), source };
        let fd = std::os::fd::AsFd::as_fd(directory.fd());
        let walk = walk_git_directory(fd, at).map_err(listing)?;
        self.is_sorted = false;
        for entry in walk.entries {
            let within = entry.path.strip_prefix(at);
            if within.as_ref().is_none_or(&wanted) {
                let source = within.map(|path| Source::Elsewhere(Arc::clone(&directory), path));
                self.items.push(item(entry, source.unwrap_or(Source::Tree)));
            }
        }
        Ok(())
    }

    /// Makes a repository whole that borrows objects from others.
    fn add_borrowed_objects(&mut self, at: &TreePath, objects: &Path) -> Result<(), LayoutError> {
        let lenders = alternates::lenders(objects)?;
        for lender in &lenders {
            self.bring_in(lender, at, |path| !alternates::is_list(path))?;
        }
        if !lenders.is_empty() {
            self.removed.insert(at.join(b"info/alternates")?);
        }
        Ok(())
    }

    fn finish(&mut self) -> Vec<Item> {
        let mut items = std::mem::take(&mut self.items);
        items.retain(|item| !self.removed.contains(&item.path));
        if !self.is_sorted {
            // Stable: what came first stays first.
            items.sort_by(|a, b| a.path.cmp(&b.path));
            items.dedup_by(|later, earlier| later.path == earlier.path);
        }
        items
    }
}

fn is_shared(path: &TreePath) -> bool {
    let top = path.components().next().unwrap_or_default();
    let own = |own: &&[u8]| {
        path.as_bytes().strip_prefix(*own).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    SHARED.contains(&top) && !NOT_SHARED.iter().any(own)
}

fn item(entry: WalkEntry, source: Source) -> Item {
    let WalkEntry { path, kind, mode, mtime, ctime, inode, origin, .. } = entry;
    let (kind, stamp) = match kind {
        WalkKind::Directory => (ItemKind::Directory, None),
        WalkKind::Symlink { target } => (ItemKind::Symlink { target }, None),
        WalkKind::File { size } => {
            (ItemKind::File { size, source }, Some(Stamp { size, mtime, ctime, inode }))
        }
    };
    Item { path, mode, mtime, origin, kind, stamp }
}
