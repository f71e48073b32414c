//! The directories of a walk whose names are worth remembering.

use std::borrow::Cow;

use handoff_proto::path::TreePath;
use handoff_proto::tree::WalkDirectory;

use crate::capture::source::Directory;

use super::{Margins, Moment, Stamp, StatCache, read_cost};

/// Directories that get another stamp with whatever comes or goes in them from here on.
#[derive(Debug)]
pub(in crate::capture) struct Settled<'a> {
    cache: &'a StatCache,
    directories: Vec<(&'a WalkDirectory, Stamp)>,
}

impl<'a> Settled<'a> {
    /// Those of the directories that a walk of the tree at `root` has looked into that are on this
    /// device, which [tells](super::telling_device) of changes, and were left alone for long enough
    /// before the walk began.
    pub(in crate::capture) fn of(
        looked_into: &'a [WalkDirectory],
        cache: &'a StatCache,
        root: &Directory,
        device: Option<u64>,
        began: Moment,
    ) -> Self {
        let mut margins = Margins::default();
        let settled = |directory: &'a WalkDirectory| {
            let meta = &directory.meta;
            if device != Some(meta.device) {
                return None;
            }
            let stamp = Stamp::of_meta(meta);
            let margin = margins.of(root.fd(), meta.device, &stamp);
            began.is_after(&stamp, margin).then_some((directory, stamp))
        };
        Self { cache, directories: looked_into.iter().filter_map(settled).collect() }
    }

    /// What reading again would cost that was not known before; see [`StatCache::update`].
    pub(in crate::capture) fn new_cost(&self) -> u64 {
        // Some were only read because the cache had not been.
        let is_new = |(directory, stamp): &&(&WalkDirectory, Stamp)| {
            let path = directory.path.as_ref();
            directory.names.is_some() && self.cache.names(path, stamp).is_none()
        };
        read_cost(0).saturating_mul(self.directories.iter().filter(is_new).count() as u64)
    }

    /// Path, stamp and encoded names of each.
    pub(in crate::capture) fn iter(&self) -> impl Iterator<Item = (&[u8], Stamp, Cow<'_, [u8]>)> {
        self.directories.iter().filter_map(|(directory, stamp)| {
            let path = directory.path.as_ref();
            let names = match &directory.names {
                Some(read) => Cow::Owned(read.encode()),
                None => Cow::Borrowed(self.cache.names(path, stamp)?),
            };
            Some((path.map_or(&[][..], TreePath::as_bytes), *stamp, names))
        })
    }
}
