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
//!   <snapshot>.<n>/     the same, but files were taken out of it or of what is below it: no
//!                       longer the snapshot's tree, only part of later ones, see [`take`]
//!   latest-<root>       the newest snapshot of that directory
//!   .new-… .old-…       on its way in or out; garbage after a crash
//! ```
//!
//! A tree appears whole, by rename, and does not change under its name. It is a copy of what the
//! store keeps, so no run waits until one is on the disk: a tree that had not reached it when the
//! machine went down is thrown away by [`Trees::clean`] and made again. Only a daemon that is root
//! makes trees: the layers are merged by the kernel.

pub(super) mod build;
mod durable;
mod earlier;
mod layer;
mod take;

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{SnapshotId, SnapshotManifest};
use handoff_proto::tree::Writer;

use self::earlier::Earlier;
use self::layer::Layer;
use self::take::InUse;
use super::content::Source;
use super::error::WorkspaceError;
use super::materialise::explain;
use super::remove::remove;
use super::snapshots::Snapshots;
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
    /// Held while one is looked for, and while one loses its name as nobody uses it.
    finding: Mutex<()>,
    /// Read by whoever is about to use a tree, written by whoever takes some away.
    keeping: Arc<RwLock<()>>,
}

impl Trees {
    /// The trees in a daemon's state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        let boot = boot();
        let directory = state.join("trees");
        Self {
            directory,
            boot,
            making: Mutex::default(),
            finding: Mutex::default(),
            keeping: Arc::default(),
        }
    }

    fn of_user(&self, user: &str) -> OfUser<'_> {
        let directory = self.directory.join(user);
        OfUser { directory, boot: &self.boot, finding: &self.finding }
    }

    /// The tree of a snapshot; makes it if it is not there, perhaps out of files of trees of other
    /// snapshots that are not `in_use`. Who uses one has told so before asking for it. Blocks.
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
        in_use: impl Fn() -> HashSet<(UserName, SnapshotId)>,
    ) -> Result<Tree, WorkspaceError> {
        let _kept = self.keeping.read().unwrap_or_else(PoisonError::into_inner);
        let of_user = self.of_user(user.as_str());
        if let Some(tree) = of_user.find(&snapshot) {
            return Ok(tree);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = of_user.find(&snapshot) {
            return Ok(tree);
        }
        let source = Source::new(blobs, user);
        let contents = snapshots.read(blobs, user, snapshot)?;
        let tree = of_user.make(&source, snapshots, snapshot, &contents.manifest, &in_use)?;
        durable::make(&tree, contents, Arc::clone(&self.keeping));
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
                    || take::trees_with(of_user, name).is_ok_and(|trees| {
                        trees.iter().any(|(_, tree)| of_user.is_sound(&tree.to_string()))
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
                let of_user = self.of_user(&user);
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
    /// See [`Trees::finding`].
    finding: &'a Mutex<()>,
}

impl OfUser<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn find(&self, snapshot: &SnapshotId) -> Option<Tree> {
        let _found = self.finding.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Whether all that a tree is made of is there.
    fn is_sound(&self, name: &str) -> bool {
        let is_whole = |name: &String| self.is_whole(name);
        self.below(name).is_some_and(|below| below.iter().all(is_whole)) && self.is_whole(name)
    }

    /// Whether a directory is all there, whatever happened to the machine since.
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
        in_use: InUse<'_>,
    ) -> Result<Tree, WorkspaceError> {
        let name = snapshot.to_string();
        let new = self.path(&format!(".new-{name}"));
        // What a crash or a failure left.
        remove(&new)?;
        let made = self.write(source, snapshots, manifest, &new, in_use).and_then(|()| {
            let place = self.path(&name);
            fs::rename(&new, &place).map_err(WorkspaceError::make(&place))
        });
        if let Err(error) = made {
            // The first failure is the one that tells something.
            drop(remove(&new));
            drop(take::sweep(self));
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
        in_use: InUse<'_>,
    ) -> Result<(), WorkspaceError> {
        let tree = new.join("tree");
        let mut private = DirBuilder::new();
        private.mode(PRIVATE).recursive(true);
        private.create(&tree).map_err(WorkspaceError::make(&tree))?;
        let below = match Earlier::find(self, source, snapshots, manifest) {
            Some(earlier) => self.layer(source, manifest, &earlier, &tree, in_use)?,
            None => None,
        };
        if below.is_none() {
            build::whole(source, manifest, Writer::open(&tree, None)?)?;
        }
        let below = below.unwrap_or_default();
        for (name, text) in [("below", below.join("\n").as_str()), ("boot", self.boot)] {
            let path = new.join(name);
            fs::write(&path, text).map_err(WorkspaceError::make(&path))?;
        }
        Ok(())
    }

    /// Writes a tree as a layer if that is cheaper; the names that are then below.
    fn layer(
        &self,
        source: &Source<'_>,
        manifest: &SnapshotManifest,
        earlier: &Earlier,
        tree: &Path,
        in_use: InUse<'_>,
    ) -> Result<Option<Vec<String>>, WorkspaceError> {
        let (mut layer, mut below) = (earlier.layer(manifest), earlier.below().to_vec());
        let taken = {
            // Nobody finds a tree between the question who uses it and the loss of its name.
            let _alone = self.finding.lock().unwrap_or_else(PoisonError::into_inner);
            let mut taken = take::choose(self, source.user, earlier, &mut layer, in_use)?;
            if !is_worth_it(&layer, manifest) {
                return Ok(None);
            }
            taken.spend(&mut below)?;
            taken
        };
        taken.sync()?;
        build::layer(source, &layer, taken, manifest, tree)?;
        Ok(Some(below))
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

/// Which boot of the machine this is; without that, nothing is trusted after a restart.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The names in a directory; none if it is not there.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, WorkspaceError> {
    let list = || match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        opened => opened?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>(),
    };
    list().map_err(WorkspaceError::make(directory))
}
