//! Takes large files that changed a little out of trees that nobody uses, and patches them: few
//! file systems let files share blocks, and to write a large one whole takes its time.
//!
//! A tree that is about to lose a file loses its name first, as does every other that it is part
//! of: `<snapshot>` becomes `<snapshot>.<n>`, where no snapshot is looked for. So a tree that is
//! found lacks nothing, whenever the daemon ends. For the machine's end, that has to be on the disk
//! before a file is touched: content may get there sooner than names do. What lost its name goes
//! on as a part of the new tree, whose own layer has all that was taken; as a part of none it is
//! garbage.
//!
//! What stays of a file is not read and not hashed: it is trusted, as every tree is, that nobody
//! but the daemon writes there.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::chunk::ChunkRef;
use handoff_proto::manifest::{Entry, SnapshotId, SnapshotManifest};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Meta, MetaKind, lstat, set_metadata};
use rustix::fs::{Mode, OFlags, open, openat, renameat};

use super::earlier::Earlier;
use super::layer::Layer;
use super::{OfUser, names};
use crate::store::UserName;
use crate::workspace::content::Source;
use crate::workspace::error::WorkspaceError;
use crate::workspace::remove::remove;

/// Smaller files are written whole: that is as quick as to wait for the disk, and a tree that lost
/// a file has to be made again for the next run of its snapshot. Never raised: [`lost`] asks for no
/// smaller ones.
const SIZE_MIN: u64 = 4 << 20;

/// Tells which snapshots are used by a run that has not finished.
pub(super) type InUse<'a> = &'a dyn Fn() -> HashSet<(UserName, SnapshotId)>;

/// What a layer gets from earlier trees instead of from the store.
pub(super) struct Taken<'a> {
    /// Where the user's trees are.
    directory: PathBuf,
    files: Vec<Take<'a>>,
    /// The snapshots that these trees then no longer are; a tree comes before those below it.
    spent: BTreeSet<(Reverse<usize>, SnapshotId)>,
}

/// One file.
struct Take<'a> {
    entry: &'a Entry,
    /// What is new of it, and where that begins.
    patches: Vec<(u64, ChunkRef)>,
    /// The name of what has it.
    from: String,
}

/// Moves those files out of a layer that earlier trees can give as nobody uses these. That is so
/// for as long as nobody finds a tree.
pub(super) fn choose<'a>(
    of_user: &OfUser<'_>,
    user: &UserName,
    earlier: &Earlier,
    layer: &mut Layer<'a>,
    in_use: InUse<'_>,
) -> Result<Taken<'a>, WorkspaceError> {
    let of_earlier = |entry: &&'a Entry| Take::of(of_user, earlier, entry);
    let mut files: Vec<_> = layer.files.iter().filter_map(of_earlier).collect();
    let (mut idle, mut spent) = (HashSet::new(), BTreeSet::new());
    if !files.is_empty() {
        let in_use = in_use();
        let sources: HashSet<&String> = files.iter().map(|file| &file.from).collect();
        for from in sources {
            let trees = trees_with(of_user, from)?;
            if trees.iter().all(|(_, id)| !in_use.contains(&(user.clone(), *id))) {
                spent.extend(trees);
                idle.insert(from.clone());
            }
        }
    }
    files.retain(|file| idle.contains(&file.from));
    let taken: HashSet<&TreePath> = files.iter().map(|file| &file.entry.path).collect();
    layer.files.retain(|entry| !taken.contains(&entry.path));
    Ok(Taken { directory: of_user.directory.clone(), files, spent })
}

/// Of a whole tree that may have lost some, the files that it no longer has.
pub(super) fn lost(
    directory: &Path,
    manifest: &SnapshotManifest,
) -> Result<HashSet<TreePath>, WorkspaceError> {
    let tree = open_tree(directory)?;
    let mut lost = HashSet::new();
    for entry in manifest.entries.iter().filter(|entry| entry.size() >= SIZE_MIN) {
        if lstat(&tree, &entry.path)?.is_none() {
            lost.insert(entry.path.clone());
        }
    }
    Ok(lost)
}

/// The trees that a directory is part of, by itself or below: how many are below them, and whose.
pub(super) fn trees_with(
    of_user: &OfUser<'_>,
    directory: &str,
) -> Result<Vec<(Reverse<usize>, SnapshotId)>, WorkspaceError> {
    let mut trees = Vec::new();
    for name in names(&of_user.directory)? {
        let Ok(id) = SnapshotId::parse(&name) else { continue };
        let path = of_user.path(&name).join("below");
        let below = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // One that is overlooked would be found again.
            read => read.map_err(WorkspaceError::make(&path))?,
        };
        if name == directory || below.lines().any(|other| other == directory) {
            trees.push((Reverse(below.lines().count()), id));
        }
    }
    Ok(trees)
}

/// Removes what lost its name and is part of no tree: where a new one failed, it may be what the
/// disk is full of.
pub(super) fn sweep(of_user: &OfUser<'_>) -> Result<(), WorkspaceError> {
    for name in names(&of_user.directory)? {
        if is_spent(&name) && trees_with(of_user, &name)?.is_empty() {
            remove(&of_user.path(&name))?;
        }
    }
    Ok(())
}

/// Whether this is the name of what a snapshot's tree has become.
fn is_spent(name: &str) -> bool {
    name.split_once('.').is_some_and(|(snapshot, _)| SnapshotId::parse(snapshot).is_ok())
}

impl<'a> Take<'a> {
    /// A file of the newest tree that takes a few patches to be this one.
    fn of(of_user: &OfUser<'_>, earlier: &Earlier, entry: &'a Entry) -> Option<Self> {
        let was = earlier.contents.manifest.entry(&entry.path)?;
        if was.size().min(entry.size()) < SIZE_MIN {
            return None;
        }
        let there: HashSet<_> = placed(was).collect();
        let patches: Vec<_> = placed(entry).filter(|chunk| !there.contains(chunk)).collect();
        let new: u64 = patches.iter().map(|(_, chunk)| u64::from(chunk.size)).sum();
        if new > entry.size() / 2 {
            return None;
        }
        Some(Self { entry, patches, from: provider(of_user, earlier, was)? })
    }

    /// Moves the file from one directory to another, and makes it what it is to be.
    fn move_into(self, source: &Source<'_>, from: &File, to: &File) -> Result<(), FileError> {
        let Entry { path, mode, mtime, .. } = self.entry;
        let failed = |source| FileError::Io { action: "patch", path: path.to_string(), source };
        let refused = |errno| failed(io::Error::from(errno));
        renameat(from, path.as_os_path(), to, path.as_os_path()).map_err(refused)?;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(to, path.as_os_path(), flags, Mode::empty());
        let file = File::from(opened.map_err(refused)?);
        for (offset, chunk) in &self.patches {
            let content = source.read(chunk).map_err(|source| {
                let path = path.to_string();
                FileError::Content { path, source }
            })?;
            file.write_all_at(&content, *offset).map_err(failed)?;
        }
        file.set_len(self.entry.size()).map_err(failed)?;
        // Time last: everything else changes it.
        set_metadata(to, path, *mode, *mtime)
    }
}

/// A file's chunks, each with where it begins.
fn placed(entry: &Entry) -> impl Iterator<Item = (u64, ChunkRef)> {
    entry.chunks().iter().scan(0, |end, chunk| {
        let start = *end;
        *end += u64::from(chunk.size);
        Some((start, *chunk))
    })
}

/// The directory of the newest tree that shows a file of it; none if it is not as it was written.
fn provider(of_user: &OfUser<'_>, earlier: &Earlier, was: &Entry) -> Option<String> {
    for name in &earlier.chain {
        let tree = open_tree(&of_user.path(name)).ok()?;
        if let Some(found) = lstat(&tree, &was.path).ok()? {
            let Meta { kind, links, size, mtime, .. } = found;
            let fits = (kind, links) == (MetaKind::File, 1)
                && (size, mtime, found.permissions()) == (was.size(), was.mtime, was.mode);
            return fits.then(|| name.clone());
        }
    }
    None
}

impl Taken<'_> {
    /// Lets the trees lose their names, also where they are called below the new tree.
    pub(super) fn spend(&mut self, below: &mut [String]) -> Result<(), WorkspaceError> {
        for (_, id) in &self.spent {
            let name = id.to_string();
            let (mut number, mut new) = (0_u64, format!("{name}.0"));
            while self.directory.join(&new).exists() {
                number += 1;
                new = format!("{name}.{number}");
            }
            let place = self.directory.join(&name);
            fs::rename(&place, self.directory.join(&new)).map_err(WorkspaceError::make(&place))?;
            let sources = self.files.iter_mut().map(|file| &mut file.from);
            for called in sources.chain(below.iter_mut()).filter(|called| **called == name) {
                called.clone_from(&new);
            }
        }
        Ok(())
    }

    /// Waits until their names are gone from the disk; few bytes, and only where some were there.
    pub(super) fn sync(&self) -> Result<(), WorkspaceError> {
        if self.spent.is_empty() {
            return Ok(());
        }
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(WorkspaceError::make(&self.directory))
    }

    /// Moves the files into a layer whose directories are there.
    pub(super) fn move_into(self, source: &Source<'_>, layer: &Path) -> Result<(), WorkspaceError> {
        let to = open_directory(layer)?;
        for file in self.files {
            let from = open_tree(&self.directory.join(&file.from))?;
            file.move_into(source, &from, &to)?;
        }
        Ok(())
    }
}

fn open_tree(directory: &Path) -> Result<File, WorkspaceError> {
    open_directory(&directory.join("tree"))
}

fn open_directory(path: &Path) -> Result<File, WorkspaceError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = open(path, flags, Mode::empty()).map_err(io::Error::from);
    opened.map(File::from).map_err(WorkspaceError::make(path))
}
