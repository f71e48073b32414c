//! Which paths of the tree a result holds: those that a capture would carry, and those of the
//! snapshot that are still there whatever the rules have become.
//!
//! A capture refuses what it cannot carry, so that its owner can act. Here nobody can: what a run
//! left as a socket, a pipe, an unreadable file or too deep for a path is left out with a note.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use handoff_proto::manifest::{Entry, Kind, SnapshotManifest};
use handoff_proto::path::{TreePath, is_git_spelling, unescaped};
use handoff_proto::tree::{
    self, FileError, GitDirectories, LeftOutReason, MetaKind, RefusalReason, Tracked, Walk,
    WalkEntry, WalkError, WalkKind, WalkOptions, WalkRepository,
};
use rustix::fs::{Mode, OFlags, open};

use super::note::Note;

/// How often the walk starts again without what it could not carry. Each time names up to twenty.
const ROUNDS_MAX: usize = 64;

/// What a listing needs to know.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// The snapshot.
    pub(super) base: &'a SnapshotManifest,
    /// The user's own ignore rules.
    pub(super) excludes_file: Vec<u8>,
    /// Globs of ignored things to return nevertheless.
    pub(super) include: Vec<Vec<u8>>,
    /// Globs of things not to return.
    pub(super) exclude: Vec<Vec<u8>>,
    /// Places on which the run saw something else.
    pub(super) mount_points: &'a [TreePath],
}

/// The paths of a tree.
#[derive(Debug)]
pub(super) struct Listing {
    /// The tree.
    pub(super) root: OwnedFd,
    /// Sorted by path; files without chunks yet.
    pub(super) entries: Vec<Entry>,
    /// Every directory with a `.git`, sorted by path.
    pub(super) repositories: Vec<WalkRepository>,
}

/// Lists a tree. `tracked` is asked once for each directory with a `.git`.
///
/// # Errors
///
/// Where the tree cannot be listed even without what cannot be carried.
pub(super) fn list(
    tree: &Path,
    rules: &Rules<'_>,
    tracked: &mut (dyn FnMut(BorrowedFd<'_>, &WalkRepository) -> Option<Tracked> + Send),
    notes: &mut Vec<Note>,
) -> Result<Listing, WalkError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        open(tree, flags, Mode::empty()).map_err(|errno| WalkError::File(unopened(tree, errno)))?;
    let mut known: HashMap<Option<TreePath>, Option<Tracked>> = HashMap::new();
    let mut left_out = LeftOut::default();
    let walk = walk_tolerantly(root.as_fd(), rules, &mut left_out, &mut |repository| {
        known
            .entry(repository.path.clone())
            .or_insert_with(|| tracked(root.as_fd(), repository))
            .clone()
    })?;
    notes.extend(left_out.notes());
    notes.extend(git_spellings(&walk));
    let mut entries: BTreeMap<TreePath, Entry> =
        walk.entries.into_iter().map(|entry| (entry.path.clone(), from_walk(entry))).collect();
    add_missing_of_base(root.as_fd(), rules.base, &left_out, &mut entries);
    remove_mount_points(rules, &mut entries);
    Ok(Listing { entries: entries.into_values().collect(), repositories: walk.repositories, root })
}

fn walk_tolerantly(
    root: BorrowedFd<'_>,
    rules: &Rules<'_>,
    left_out: &mut LeftOut,
    tracked: &mut (dyn FnMut(&WalkRepository) -> Option<Tracked> + Send),
) -> Result<Walk, WalkError> {
    let mut options = WalkOptions {
        git: GitDirectories::Skip,
        excludes_file: rules.excludes_file.clone(),
        include: rules.include.clone(),
        exclude: rules.exclude.clone(),
        ..WalkOptions::default()
    };
    for _ in 0..ROUNDS_MAX {
        let error = match tree::walk_at(root, &options, &mut |repository| Ok(tracked(repository))) {
            Ok(walk) => return Ok(walk),
            Err(error) => error,
        };
        // Without a new path to leave out it would fail in the same way again.
        if !left_out.learn(&error) {
            return Err(error);
        }
        options.exclude = rules.exclude.iter().cloned().chain(left_out.globs()).collect();
    }
    tree::walk_at(root, &options, &mut |repository| Ok(tracked(repository)))
}

/// The paths that cannot be carried, and why.
#[derive(Debug, Default)]
struct LeftOut(BTreeMap<Vec<u8>, String>);

impl LeftOut {
    /// Takes the paths out of an error; whether there was a new one.
    fn learn(&mut self, error: &WalkError) -> bool {
        let before = self.0.len();
        match error {
            WalkError::Refused { refused, .. } => {
                for refusal in refused {
                    let Some(path) = unescaped(&refusal.path) else { continue };
                    // A name that makes no path can only be left out with its directory.
                    let path = match refusal.reason {
                        RefusalReason::Path(_) => parent_within_limits(&path),
                        _ => Some(path),
                    };
                    if let Some(path) = path {
                        self.0.insert(path, refusal.reason.to_string());
                    }
                }
            }
            WalkError::File(FileError::Io { path, source, .. }) => {
                if let Some(path) = unescaped(path).filter(|path| path != b".") {
                    // A directory that may be listed and not be entered: nothing in it is to be had.
                    let closed = source.kind() == ErrorKind::PermissionDenied;
                    let parent = parent_within_limits(&path).filter(|_| closed);
                    self.0.insert(parent.unwrap_or(path), source.to_string());
                }
            }
            _ => {}
        }
        self.0.len() > before
    }

    fn globs(&self) -> Vec<Vec<u8>> {
        self.0.keys().map(|path| tree::exact_glob(path)).collect()
    }

    fn contains(&self, path: &TreePath) -> bool {
        self.0.contains_key(path.as_bytes())
    }

    fn notes(&self) -> impl Iterator<Item = Note> {
        self.0.iter().map(|(path, reason)| Note::LeftOut {
            path: handoff_proto::path::escaped(path),
            reason: reason.clone(),
        })
    }
}

/// The longest directory above a path that is itself a path.
fn parent_within_limits(path: &[u8]) -> Option<Vec<u8>> {
    let parent = &path[..path.iter().rposition(|&byte| byte == b'/')?];
    TreePath::parse(parent).ok().map(|path| path.as_bytes().to_vec())
}

fn git_spellings(walk: &Walk) -> impl Iterator<Item = Note> {
    walk.left_out.iter().filter(|out| out.reason == LeftOutReason::GitSpelling).map(|out| {
        Note::LeftOut {
            path: out.path.to_string(),
            reason: "some file system takes its name for `.git`".to_owned(),
        }
    })
}

/// Adds what the snapshot holds and the rules would leave out by now. Nothing of the snapshot may
/// look deleted that is still there.
fn add_missing_of_base(
    root: BorrowedFd<'_>,
    base: &SnapshotManifest,
    left_out: &LeftOut,
    entries: &mut BTreeMap<TreePath, Entry>,
) {
    for entry in &base.entries {
        let path = &entry.path;
        if entries.contains_key(path)
            || left_out.contains(path)
            || path.components().any(is_git_spelling)
        {
            continue;
        }
        let parent_is_there = path
            .parent()
            .is_none_or(|parent| entries.get(&parent).is_some_and(Entry::is_directory));
        if parent_is_there && let Some(entry) = look_at(root, path) {
            entries.insert(path.clone(), entry);
        }
    }
}

/// What is at a path now; `None` for nothing, and for what cannot be carried.
fn look_at(root: BorrowedFd<'_>, path: &TreePath) -> Option<Entry> {
    let meta = tree::lstat(root, path).ok().flatten()?;
    let kind = match meta.kind {
        MetaKind::File => Kind::File { size: meta.size, chunks: Vec::new() },
        MetaKind::Directory => Kind::Directory,
        MetaKind::Symlink => Kind::Symlink { target: tree::read_link(root, path).ok()? },
        MetaKind::Socket | MetaKind::Fifo | MetaKind::Device => return None,
    };
    let mode = if meta.kind == MetaKind::Symlink { 0o777 } else { meta.permissions() };
    Some(Entry { path: path.clone(), mode, mtime: meta.mtime, kind })
}

fn from_walk(entry: WalkEntry) -> Entry {
    let kind = match entry.kind {
        WalkKind::File { size } => Kind::File { size, chunks: Vec::new() },
        WalkKind::Directory => Kind::Directory,
        WalkKind::Symlink { target } => Kind::Symlink { target },
    };
    Entry { path: entry.path, mode: entry.mode, mtime: entry.mtime, kind }
}

/// Removes what was made only to mount something on: empty, on the way to a mount point, and
/// unknown to the snapshot.
fn remove_mount_points(rules: &Rules<'_>, entries: &mut BTreeMap<TreePath, Entry>) {
    let mut places: HashSet<TreePath> = HashSet::new();
    for point in rules.mount_points {
        places.extend(std::iter::successors(Some(point.clone()), TreePath::parent));
    }
    let mut places: Vec<TreePath> = places.into_iter().collect();
    // The deepest first, so that their parents are empty by then.
    places.sort_unstable_by(|a, b| b.cmp(a));
    for place in places {
        let holds_something =
            entries.range(place.clone()..).nth(1).is_some_and(|(next, _)| next.starts_with(&place));
        let is_empty = match entries.get(&place).map(|entry| &entry.kind) {
            Some(Kind::Directory) => !holds_something,
            Some(Kind::File { size, .. }) => *size == 0,
            Some(Kind::Symlink { .. }) | None => false,
        };
        if is_empty && rules.base.entry(&place).is_none() {
            entries.remove(&place);
        }
    }
}

fn unopened(tree: &Path, errno: rustix::io::Errno) -> FileError {
    use std::os::unix::ffi::OsStrExt as _;
    FileError::Io {
        action: "open",
        path: handoff_proto::path::escaped(tree.as_os_str().as_bytes()),
        source: errno.into(),
    }
}
