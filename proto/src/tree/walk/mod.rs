//! Lists what is carried from a tree, with one look at each file and none at its content.
//!
//! Tracked files are carried whatever the rules say; untracked files and empty directories unless
//! a rule ignores them; git directories raw and whole but for what a live process keeps there.
//! Where there is no repository, only `.handoffignore` leaves things out. A directory with its own
//! `.git` starts a new repository with its own rules. Nothing is skipped without a word: what is
//! left out is listed, what can be neither carried nor left out is an error. Never follows a
//! symbolic link and never leaves the root; the only contents read are ignore files and `.git`
//! files.

mod directory;
mod lister;
mod listing;
mod names;
mod queue;
mod visit;

use std::num::NonZero;
use std::path::Path;

use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags};

use crate::manifest::Timestamp;
use crate::path::TreePath;

use super::error::{AtPath as _, WalkError};
use super::meta::Meta;
use super::tracked::Tracked;

pub use self::listing::{Dropped, Sample};
pub use self::names::{KnownNames, Names, WalkDirectory};

/// What to list.
#[derive(Clone, Debug)]
pub struct WalkOptions<'a> {
    /// What to do with git directories.
    pub git: GitDirectories,
    /// The content of git's `core.excludesFile`; empty without one.
    pub excludes_file: Vec<u8>,
    /// Globs of ignored things to carry nevertheless; a matching directory comes with all that is
    /// in it.
    pub include: Vec<Vec<u8>>,
    /// Globs of things not to carry, tracked or not; stronger than everything but the content of
    /// git directories.
    pub exclude: Vec<Vec<u8>>,
    /// How many threads share the work; the result is the same with any number.
    pub threads: NonZero<usize>,
    /// Names that need not be read; with any, the walk also says what it looked into.
    pub known: Option<&'a dyn KnownNames>,
}

impl Default for WalkOptions<'_> {
    fn default() -> Self {
        Self {
            git: GitDirectories::default(),
            excludes_file: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            threads: NonZero::<usize>::MIN,
            known: None,
        }
    }
}

/// What to do with git directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GitDirectories {
    /// Carry them raw, as a snapshot does.
    #[default]
    Carry,
    /// Leave out everything called `.git` in any spelling, as a result must.
    Skip,
}

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// What the root directory itself is.
    pub root: Meta,
    /// What is carried, sorted by path; every parent is among them.
    pub entries: Vec<WalkEntry>,
    /// The repositories whose working trees are carried, sorted by path.
    pub repositories: Vec<WalkRepository>,
    /// The directories whose names were read or known, sorted by path; none unless the caller asked
    /// with [`WalkOptions::known`].
    pub looked_into: Vec<WalkDirectory>,
    /// What is not carried, sorted by path. What lies in a directory that is left out is not
    /// listed again.
    pub left_out: Vec<LeftOut>,
    /// Attributes of carried files that are not carried.
    pub dropped: Dropped,
}

/// One carried thing, with enough to tell whether it has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkEntry {
    /// Where it is, relative to the root.
    pub path: TreePath,
    /// What it is.
    pub kind: WalkKind,
    /// The permission bits that are carried; 0o777 for symbolic links.
    pub mode: u32,
    /// When the content was last modified.
    pub mtime: Timestamp,
    /// When content or attributes last changed.
    pub ctime: Timestamp,
    /// The inode's number.
    pub inode: u64,
    /// The device that the inode is on.
    pub device: u64,
    /// Why it is carried.
    pub origin: Origin,
}

/// What a carried thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkKind {
    /// A regular file.
    File {
        /// The size in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Its target, not looked at.
        target: Vec<u8>,
    },
}

/// Why something is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Its repository tracks it, or something in it.
    Tracked,
    /// It is not tracked and no rule ignores it.
    Untracked,
    /// A rule ignores it but `--include` names it or a directory above it.
    Included,
    /// It belongs to a repository's git directory, or is a `.git` file.
    Git,
}

/// A repository whose working tree is in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkRepository {
    /// The directory of its working tree; `None` for the root.
    pub path: Option<TreePath>,
    /// What its `.git` is.
    pub git: GitLocation,
    /// Where its git directory is, if that is known to be in the tree.
    pub git_dir: Option<TreePath>,
}

/// What a repository's `.git` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GitLocation {
    /// The git directory itself.
    Directory,
    /// A file that says where the git directory is: a submodule or a linked worktree.
    File,
    /// A symbolic link, which is carried as it is and never followed.
    Symlink,
}

/// Something that is not carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it is.
    pub path: TreePath,
    /// Why.
    pub reason: LeftOutReason,
    /// Whether it is a directory, of which parts may be carried nevertheless: tracked and
    /// included files.
    pub directory: bool,
}

/// Why something is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeftOutReason {
    /// The repository's ignore rules.
    Ignored,
    /// A `.handoffignore` file.
    HandoffIgnored,
    /// `--exclude`.
    Excluded,
    /// A lock or another file of a process that is at work in a git directory.
    GitTransient,
    /// A socket in a git directory.
    GitSocket,
    /// A name that some file system takes for `.git`, while git directories are skipped.
    GitSpelling,
}

/// What the caller says about a repository; `None` if it is none after all.
pub type TrackedResult = Result<Option<Tracked>, Box<dyn std::error::Error + Send + Sync>>;

/// Asks the caller about a repository, from any thread of a walk but one at a time.
pub type AskTracked<'a> = dyn FnMut(&WalkRepository) -> TrackedResult + Send + 'a;

/// Lists what is carried from the directory at a trusted path.
///
/// `tracked` is asked once for every directory that holds a `.git`, an outer one before those in it. Where it says
/// `None` the directory counts as a part of what is around it.
///
/// # Errors
///
/// What can be neither carried nor left out, up to twenty of them in one error; what `tracked`
/// returns; whatever the system refuses.
pub fn walk(
    root: &Path,
    options: &WalkOptions<'_>,
    tracked: &mut AskTracked<'_>,
) -> Result<Walk, WalkError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty()).at("open", None)?;
    walk_at(rustix::fd::AsFd::as_fd(&fd), options, tracked)
}

/// Lists what is carried from a directory that is open already; as [`walk`].
///
/// # Errors
///
/// As [`walk`].
pub fn walk_at(
    root: BorrowedFd<'_>,
    options: &WalkOptions<'_>,
    tracked: &mut AskTracked<'_>,
) -> Result<Walk, WalkError> {
    lister::list_tree(root, options, tracked)
}

/// Lists a git directory that lies outside the tree as if it were at `at`, itself first.
///
/// For linked worktrees and submodules whose git directory is elsewhere.
///
/// # Errors
///
/// As [`walk`].
pub fn walk_git_directory(git_directory: BorrowedFd<'_>, at: &TreePath) -> Result<Walk, WalkError> {
    lister::list_git_directory(git_directory, at)
}
