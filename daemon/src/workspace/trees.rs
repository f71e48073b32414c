//! Read-only trees that runs share: each snapshot is written once, a later one of the same
//! directory as a layer on the earlier one.
//!
//! ```text
//! <state>/trees/<user>/
//!   <snapshot>/tree/    the whole tree, or what differs from the trees below
//!   <snapshot>/manifest what the tree holds, for the next layer
//!   <snapshot>/below    the snapshots of the trees below, nearest first
//!   <snapshot>/boot     during which boot of the machine it was made
//!   <snapshot>/durable  it has reached the disk
//!   latest-<root>       the newest snapshot of that directory
//!   .new-… .old-…       on its way in or out; garbage after a crash
//! ```
//!
//! A tree appears whole, by rename, and never changes. It is a copy of what the store keeps, so
//! no run waits for the disk: a tree that had not reached it when the machine went down is thrown
//! away by [`Trees::clean`] and made again. Only a daemon that is root makes trees: the layers
//! are merged by the kernel.

pub(super) mod build;
mod layer;

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{SnapshotId, SnapshotManifest};
use handoff_proto::tree::Writer;

use self::layer::Layer;
use super::content::Source;
use super::error::WorkspaceError;
use super::materialise::explain;
use super::remove::remove;
use super::snapshots::{Snapshot, Snapshots};
use crate::store::{BlobStore, UserName};

/// Most trees that a layer has below it: every look-up of a name asks them all in turn.
const BELOW_MAX: usize = 8;

/// A layer of this size or more is not worth it if it is half of the tree.
const LAYER_BYTES: u64 = 64 << 20;

const PRIVATE: u32 = 0o700;

/// A tree that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The directories that make it up, nearest first.
    pub lowers: Vec<PathBuf>,
}

/// All the trees of a daemon.
#[derive(Debug)]
pub struct Trees {
    directory: PathBuf,
    boot: String,
    /// Held while one is made: two runs of a snapshot want the same one.
    making: Mutex<()>,
    /// Read by whoever is about to use a tree, written by whoever takes some away.
    keeping: Arc<RwLock<()>>,
}

impl Trees {
    /// The trees in a daemon's state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        // Without it, nothing is trusted after a restart.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let directory = state.join("trees");
        Self { directory, boot, making: Mutex::default(), keeping: Arc::default() }
    }

    /// The tree of a snapshot; makes it if it is not there. Blocks.
    ///
    /// # Errors
    ///
    /// When the disk is full, something of the snapshot is missing or damaged, or the system
    /// refuses. Nothing is left of the tree then.
    pub fn prepare(
        &self,
        blobs: &dyn BlobStore,
        snapshots: &Snapshots,
        user: &UserName,
        snapshot: SnapshotId,
    ) -> Result<Tree, WorkspaceError> {
        let _kept = self.keeping.read().unwrap_or_else(PoisonError::into_inner);
        let of_user = OfUser { directory: self.directory.join(user.as_str()), boot: &self.boot };
        if let Some(tree) = of_user.find(&snapshot) {
            return Ok(tree);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = of_user.find(&snapshot) {
            return Ok(tree);
        }
        let source = Source { blobs, user };
        let contents = snapshots.read(blobs, user, snapshot)?;
        let tree = of_user.make(&source, snapshots, snapshot, &contents.manifest)?;
        let directory = of_user.path(&snapshot.to_string());
        make_durable(directory, contents, Arc::clone(&self.keeping));
        Ok(tree)
    }

    /// Removes what a crash left, and trees that may not have reached the disk before the machine
    /// went down. Blocks; for a daemon that has just started.
    ///
    /// # Errors
    ///
    /// When something cannot be listed or removed.
    pub fn clean(&self) -> Result<(), WorkspaceError> {
        self.take_away(|of_user, name| {
            !name.starts_with('.')
                && (name.starts_with(LATEST)
                    || of_user.below(name).is_some_and(|below| {
                        below.iter().all(|other| of_user.is_whole(other)) && of_user.is_whole(name)
                    }))
        })
        .map(drop)
    }

    /// Removes the trees that none of `needed` (user and snapshot) is made of, nor the newest
    /// snapshot of any directory. Returns the names of the removed ones. Blocks.
    ///
    /// # Errors
    ///
    /// When something cannot be listed or removed.
    pub fn collect(
        &self,
        needed: impl FnOnce() -> HashSet<(UserName, SnapshotId)>,
    ) -> Result<Vec<PathBuf>, WorkspaceError> {
        let mut kept: Option<HashSet<(String, String)>> = None;
        let mut needed = Some(needed);
        self.take_away(|of_user, name| {
            let kept = kept.get_or_insert_with(|| {
                let runs = needed.take().map(|needed| needed()).unwrap_or_default();
                runs.into_iter().map(|(user, id)| (user.to_string(), id.to_string())).collect()
            });
            let user = of_user.directory.file_name().unwrap_or_default().to_string_lossy();
            let is_kept = |id: &str| kept.contains(&(user.to_string(), id.to_owned()));
            if name.starts_with(LATEST) {
                return true;
            }
            let latest = of_user.latest();
            let held = kept
                .iter()
                .filter(|(owner, _)| *owner == user)
                .map(|(_, id)| id)
                .chain(&latest)
                .any(|id| of_user.below(id).is_some_and(|below| below.iter().any(|b| b == name)));
            is_kept(name) || latest.iter().any(|id| id == name) || held
        })
    }

    /// Removes everything that is not to be kept: first by name, then from the disk.
    fn take_away(
        &self,
        mut keep: impl FnMut(&OfUser<'_>, &str) -> bool,
    ) -> Result<Vec<PathBuf>, WorkspaceError> {
        let mut removed = Vec::new();
        let mut garbage = Vec::new();
        {
            let _alone = self.keeping.write().unwrap_or_else(PoisonError::into_inner);
            for user in names(&self.directory)? {
                let of_user = OfUser { directory: self.directory.join(&user), boot: &self.boot };
                let all = names(&of_user.directory)?;
                let gone: Vec<_> = all.iter().filter(|name| !keep(&of_user, name)).collect();
                let (left, gone): (Vec<_>, Vec<_>) =
                    gone.into_iter().partition(|name| name.starts_with('.'));
                // What an earlier attempt left stands in the way of the names below.
                for name in left {
                    take_garbage(&of_user.path(name))?;
                }
                for name in gone {
                    let (path, old) = (of_user.path(name), of_user.path(&format!(".old-{name}")));
                    fs::rename(&path, &old).map_err(WorkspaceError::make(&path))?;
                    removed.push(path);
                    garbage.push(old);
                }
            }
        }
        for path in garbage {
            take_garbage(&path)?;
        }
        Ok(removed)
    }
}

/// Removes what nobody uses, be it a tree or a pointer that was not finished.
fn take_garbage(path: &Path) -> Result<(), WorkspaceError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_dir() => fs::remove_file(path).map_err(WorkspaceError::make(path)),
        Ok(_) | Err(_) => Ok(remove(path)?),
    }
}

/// What a tree holds, encoded.
const MANIFEST: &str = "manifest";

/// Begins the names of the files that tell the newest snapshot of a directory.
const LATEST: &str = "latest-";

/// One user's trees.
struct OfUser<'a> {
    directory: PathBuf,
    boot: &'a str,
}

impl OfUser<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn find(&self, snapshot: &SnapshotId) -> Option<Tree> {
        let name = snapshot.to_string();
        let below = self.below(&name)?;
        let all = std::iter::once(name.as_str()).chain(below.iter().map(String::as_str));
        Some(Tree { lowers: all.map(|name| self.path(name).join("tree")).collect() })
    }

    /// The names of the trees below one.
    fn below(&self, name: &str) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.path(name).join("below")).ok()?;
        Some(text.lines().map(ToOwned::to_owned).collect())
    }

    /// Whether a tree is all there, whatever happened to the machine since.
    fn is_whole(&self, name: &str) -> bool {
        let directory = self.path(name);
        directory.join("durable").exists()
            || fs::read_to_string(directory.join("boot"))
                .is_ok_and(|boot| !boot.is_empty() && boot == self.boot)
    }

    /// The newest snapshots of the user's directories.
    fn latest(&self) -> Vec<String> {
        let names = names(&self.directory).unwrap_or_default();
        let latest = names.iter().filter(|name| name.starts_with(LATEST));
        latest.filter_map(|name| fs::read_to_string(self.path(name)).ok()).collect()
    }

    fn make(
        &self,
        source: &Source<'_>,
        snapshots: &Snapshots,
        snapshot: SnapshotId,
        manifest: &SnapshotManifest,
    ) -> Result<Tree, WorkspaceError> {
        let name = snapshot.to_string();
        let new = self.path(&format!(".new-{name}"));
        // What a crash or a failure left.
        remove(&new)?;
        let made = self.write(source, snapshots, manifest, &new).and_then(|()| {
            let place = self.path(&name);
            fs::rename(&new, &place).map_err(WorkspaceError::make(&place))
        });
        if let Err(error) = made {
            // The first failure is the one that tells something.
            drop(remove(&new));
            return Err(explain(error, manifest, &self.directory));
        }
        self.point_to(&name, manifest);
        let missing = || WorkspaceError::make(self.path(&name))(io::ErrorKind::NotFound.into());
        self.find(&snapshot).ok_or_else(missing)
    }

    fn write(
        &self,
        source: &Source<'_>,
        snapshots: &Snapshots,
        manifest: &SnapshotManifest,
        new: &Path,
    ) -> Result<(), WorkspaceError> {
        let tree = new.join("tree");
        let mut private = DirBuilder::new();
        private.mode(PRIVATE).recursive(true);
        private.create(&tree).map_err(WorkspaceError::make(&tree))?;
        let below = match self.beneath(source, snapshots, manifest) {
            Some((old, below)) => {
                let layer = Layer::between(&old.manifest, manifest);
                if is_worth_it(&layer, manifest) {
                    build::layer(source, &layer, manifest, &tree)?;
                    below
                } else {
                    build::whole(source, manifest, Writer::open(&tree, None)?)?;
                    Vec::new()
                }
            }
            None => {
                build::whole(source, manifest, Writer::open(&tree, None)?)?;
                Vec::new()
            }
        };
        for (name, text) in [("below", below.join("\n").as_str()), ("boot", self.boot)] {
            let path = new.join(name);
            fs::write(&path, text).map_err(WorkspaceError::make(&path))?;
        }
        Ok(())
    }

    /// The earlier tree that a new one of this directory is put on, if there is one, and the names
    /// that are then below. A chain that is long enough is cut: the layer then holds everything
    /// since the whole tree at the chain's end.
    fn beneath(
        &self,
        source: &Source<'_>,
        snapshots: &Snapshots,
        manifest: &SnapshotManifest,
    ) -> Option<(Arc<Snapshot>, Vec<String>)> {
        let mut name = fs::read_to_string(self.path(&latest_name(manifest))).ok()?;
        let mut below = self.below(&name)?;
        if below.len() >= BELOW_MAX {
            name = below.pop()?;
            below.clear();
        }
        let old = self.contents(source, snapshots, &name)?;
        below.insert(0, name);
        Some((old, below))
    }

    /// What a tree holds. Its run may have been removed meanwhile, and the manifest with it, so a
    /// tree has one of its own; that appears with some delay.
    fn contents(
        &self,
        source: &Source<'_>,
        snapshots: &Snapshots,
        name: &str,
    ) -> Option<Arc<Snapshot>> {
        let id = SnapshotId::parse(name).ok()?;
        if let Some(recent) = snapshots.recent(source.user, id) {
            return Some(recent);
        }
        let own = fs::read(self.path(name).join(MANIFEST)).ok().map(Bytes::from);
        match own.filter(|encoded| SnapshotId::of(encoded) == id) {
            Some(encoded) => Snapshot::decode(encoded).ok().map(Arc::new),
            None => snapshots.read(source.blobs, source.user, id).ok(),
        }
    }

    /// Remembers the newest tree of a directory. One that is not remembered costs time only.
    fn point_to(&self, name: &str, manifest: &SnapshotManifest) {
        let pointer = self.path(&latest_name(manifest));
        let new = self.path(".new-latest");
        let written = fs::write(&new, name).and_then(|()| fs::rename(&new, &pointer));
        if let Err(error) = written {
            // A full disk may have left a part of it; what is not there is fine.
            drop(fs::remove_file(&new));
            tracing::warn!(%error, "next tree of {} is written whole", manifest.root);
        }
    }
}

/// Whether a layer is cheaper than a whole tree.
fn is_worth_it(layer: &Layer<'_>, manifest: &SnapshotManifest) -> bool {
    let all: u64 = manifest.entries.iter().map(handoff_proto::manifest::Entry::size).sum();
    let (bytes, entries) = (layer.bytes(), layer.len());
    (bytes < LAYER_BYTES || bytes < all / 2) && entries <= manifest.entries.len() / 2 + 1
}

fn latest_name(manifest: &SnapshotManifest) -> String {
    format!("{LATEST}{}", ChunkId::of(manifest.root.as_bytes()))
}

/// Writes a tree's own manifest and lets it all reach the disk, then notes that, while its first
/// run goes on.
fn make_durable(tree: PathBuf, contents: Arc<Snapshot>, keeping: Arc<RwLock<()>>) {
    let work = move || {
        let synced = || {
            let directory = File::open(&tree)?;
            // Meanwhile it may have been taken away, and another made in its place.
            let if_there = |name: &str, content: &[u8]| {
                let _kept = keeping.read().unwrap_or_else(PoisonError::into_inner);
                let (made, found) = (directory.metadata()?, fs::symlink_metadata(&tree)?);
                if made.ino() != found.ino() {
                    return Err(io::ErrorKind::NotFound.into());
                }
                fs::write(tree.join(name), content)
            };
            if_there(MANIFEST, &contents.encoded)?;
            rustix::fs::syncfs(&directory)?;
            if_there("durable", b"")
        };
        if let Err(error) = synced() {
            tracing::debug!(%error, "{} is made again after a crash", tree.display());
        }
    };
    // Without the thread the tree is as good, until the machine goes down.
    drop(std::thread::Builder::new().name("tree-sync".to_owned()).spawn(work));
}

/// The names in a directory; none if it is not there.
fn names(directory: &Path) -> Result<Vec<String>, WorkspaceError> {
    let list = || match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        opened => opened?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>(),
    };
    list().map_err(WorkspaceError::make(directory))
}
