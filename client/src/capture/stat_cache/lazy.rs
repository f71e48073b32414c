//! A stat cache that is read while the walk begins, and what the walk asks of it.

use std::path::Path;
use std::sync::OnceLock;

use handoff_proto::path::{AbsolutePath, TreePath};
use handoff_proto::tree::{KnownNames, Meta};

use super::{Stamp, StatCache};

/// A stat cache that may still be on its way into memory.
#[derive(Debug)]
pub(in crate::capture) struct LazyCache<'a> {
    directory: Option<&'a Path>,
    root: &'a AbsolutePath,
    cache: OnceLock<StatCache>,
}

impl<'a> LazyCache<'a> {
    /// What is remembered of the tree at `root` in this directory, which is not read yet.
    pub(in crate::capture) fn new(directory: Option<&'a Path>, root: &'a AbsolutePath) -> Self {
        Self { directory, root, cache: OnceLock::new() }
    }

    /// Reads it, or waits for the thread that does.
    pub(in crate::capture) fn get(&self) -> &StatCache {
        self.cache.get_or_init(|| StatCache::load(self.directory, self.root))
    }
}

/// The names that a cache knows, for a walk.
#[derive(Debug)]
pub(in crate::capture) struct CachedNames<'a> {
    cache: &'a LazyCache<'a>,
    /// The device whose directories it answers for.
    device: Option<u64>,
}

impl<'a> CachedNames<'a> {
    /// For a walk of a tree on this device, if that [tells](super::telling_device) of changes; none
    /// for a walk that is to read everything. Other file systems may be mounted in the tree, and
    /// what was remembered may be from before they were.
    pub(in crate::capture) fn new(cache: &'a LazyCache<'a>, device: Option<u64>) -> Self {
        Self { cache, device }
    }
}

impl KnownNames for CachedNames<'_> {
    fn names(&self, directory: Option<&TreePath>, now: &Meta) -> Option<&[u8]> {
        if self.device != Some(now.device) {
            return None;
        }
        // The first few directories are read sooner than the cache.
        self.cache.cache.get()?.names(directory, &Stamp::of_meta(now))
    }
}
