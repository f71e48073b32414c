//! What a new tree of a directory can be put on.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use handoff_proto::manifest::{SnapshotId, SnapshotManifest};
use handoff_proto::path::TreePath;

use super::layer::Layer;
use super::{BELOW_MAX, MANIFEST, OfUser, latest_name, take};
use crate::workspace::content::Source;
use crate::workspace::snapshots::{Snapshot, Snapshots};

/// The newest tree of a directory.
pub(super) struct Earlier {
    pub(super) contents: Arc<Snapshot>,
    /// What makes it up, nearest first.
    pub(super) chain: Vec<String>,
    end: Option<End>,
}

/// The whole tree at the end of a chain that is long enough: a layer on it alone holds everything
/// since.
struct End {
    contents: Arc<Snapshot>,
    /// The files that were taken out of it.
    lost: HashSet<TreePath>,
}

impl Earlier {
    /// The one that is there, of the directory that a manifest is of.
    pub(super) fn find(
        of_user: &OfUser<'_>,
        source: &Source<'_>,
        snapshots: &Snapshots,
        manifest: &SnapshotManifest,
    ) -> Option<Self> {
        let name = fs::read_to_string(of_user.path(&latest_name(manifest))).ok()?;
        let mut chain = of_user.below(&name)?;
        chain.insert(0, name);
        let contents = |name: &String| contents(of_user, source, snapshots, name);
        let end = match chain.last() {
            Some(name) if chain.len() > BELOW_MAX => {
                let contents = contents(name)?;
                let lost = take::lost(&of_user.path(name), &contents.manifest).ok()?;
                Some(End { contents, lost })
            }
            Some(_) | None => None,
        };
        Some(Self { contents: contents(chain.first()?)?, chain, end })
    }

    /// What a layer has to hold that turns the trees below it into another.
    pub(super) fn layer<'a>(&'a self, new: &'a SnapshotManifest) -> Layer<'a> {
        match &self.end {
            Some(End { contents, lost }) => Layer::between(&contents.manifest, lost, new),
            None => Layer::between(&self.contents.manifest, &HashSet::new(), new),
        }
    }

    /// The names of the trees below that layer, nearest first.
    pub(super) fn below(&self) -> &[String] {
        let first = if self.end.is_some() { self.chain.len() - 1 } else { 0 };
        self.chain.get(first..).unwrap_or_default()
    }
}

/// What a tree held when it was made. Its run may have been removed meanwhile, and the manifest
/// with it, so a tree has one of its own; that appears with some delay.
fn contents(
    of_user: &OfUser<'_>,
    source: &Source<'_>,
    snapshots: &Snapshots,
    name: &str,
) -> Option<Arc<Snapshot>> {
    // What lost its name is still called after its snapshot.
    let id = SnapshotId::parse(name.split('.').next()?).ok()?;
    if let Some(recent) = snapshots.recent(source.user, id) {
        return Some(recent);
    }
    let own = fs::read(of_user.path(name).join(MANIFEST)).ok().map(Bytes::from);
    match own.filter(|encoded| SnapshotId::of(encoded) == id) {
        Some(encoded) => Snapshot::decode(encoded).ok().map(Arc::new),
        None => snapshots.read(source.blobs, source.user, id).ok(),
    }
}
