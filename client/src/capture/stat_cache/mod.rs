//! Remembers what files held, so that a capture reads only what has changed since the last one.
//!
//! A file is taken for unchanged if path, size, times of modification and of change, and inode are
//! what they were. That is not enough for a file that was changed a moment ago: a second change may
//! leave the same times, as they only advance with the clock's tick. So an entry is kept only if
//! the file was last changed well before the capture began that read it: git's rule for its index
//! (`Documentation/technical/racy-git` in git), with a margin for the steps in which file systems
//! keep times. The device is no part of it, as its number may change with each
//! mount; git leaves it out too.
//!
//! The names in a directory are remembered by the same rule, as what comes, goes or is renamed in it
//! changes its times (git's "untracked cache" relies on that too). Only on local file systems that
//! are known to keep to it.
//!
//! Only a cache: a missing, damaged or foreign file means that everything is read.

mod file;
mod lazy;
mod margin;
mod settled;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoff_proto::chunk::ChunkRef;
use handoff_proto::manifest::Timestamp;
use handoff_proto::path::{AbsolutePath, TreePath, compare_by_components};
use handoff_proto::tree::Meta;
use rustix::fs::Stat;

use crate::settings::create_private_directory;

use self::file::{Encoder, Loaded, Remembered};
pub(super) use self::lazy::{CachedNames, LazyCache};
pub(super) use self::margin::{COARSE, Margins, telling_device};
pub(super) use self::settled::Settled;

/// What reading a file costs besides its content, in bytes of content.
const READ_COST: u64 = 16 * 1024;

/// How much less a byte costs that is written to the cache than one that is read and hashed again.
const WRITE_GAIN: u64 = 4;

/// What changes whenever content or attributes of a file do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) inode: u64,
}

impl Stamp {
    pub(super) fn of_meta(meta: &Meta) -> Self {
        let Meta { size, mtime, ctime, inode, .. } = *meta;
        Self { size, mtime, ctime, inode }
    }

    /// What the file system says of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    pub(super) fn from_stat(stat: &Stat) -> Self {
        let time =
            |secs, nanos: i64| Timestamp { secs, nanos: u32::try_from(nanos).unwrap_or_default() };
        Self {
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
            inode: stat.st_ino,
        }
    }
}

/// When a capture began, by the clock that file systems use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(Timestamp);

impl Moment {
    /// Now, by the kernel's last tick: files are stamped with nothing earlier from here on.
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Self(Timestamp { secs: now.tv_sec, nanos: u32::try_from(now.tv_nsec).unwrap_or_default() })
    }

    /// Now.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn now() -> Self {
        // Before 1970 nothing is trusted, which is right whatever time it is.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let since = since.unwrap_or_default();
        let secs = i64::try_from(since.as_secs()).unwrap_or_default();
        Self(Timestamp { secs, nanos: since.subsec_nanos() })
    }

    /// Whether any later change gives a file another stamp than this, on a file system that keeps
    /// times in steps of up to `margin`.
    pub(super) fn is_after(self, stamp: &Stamp, margin: Duration) -> bool {
        let nanos =
            |time: Timestamp| i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
        let limit = nanos(self.0) - i128::try_from(margin.as_nanos()).unwrap_or(i128::MAX);
        nanos(stamp.mtime) < limit && nanos(stamp.ctime) < limit
    }
}

/// What is remembered of one tree.
#[derive(Debug)]
pub(super) struct StatCache {
    /// `None` to remember nothing.
    path: Option<PathBuf>,
    root: AbsolutePath,
    loaded: Loaded,
}

impl StatCache {
    /// What is remembered of the tree at `root` in this directory.
    pub(super) fn load(directory: Option<&Path>, root: &AbsolutePath) -> Self {
        let path = directory.map(|directory| place(directory, root));
        let content = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let loaded = content.and_then(|content| Loaded::parse(content, root)).unwrap_or_default();
        Self { path, root: root.clone(), loaded }
    }

    /// Looks up files in the order of their paths, from this one on.
    pub(super) fn cursor(&self, from: Option<&[u8]>) -> Cursor<'_> {
        let is_before = |entry: &Remembered<'_>| {
            from.is_some_and(|from| compare_by_components(entry.path, from).is_lt())
        };
        Cursor { loaded: &self.loaded, at: self.loaded.place(is_before) }
    }

    /// The digest of the index file with this BLAKE3.
    pub(super) fn index_digest(&self, content: &[u8; 32]) -> Option<[u8; 32]> {
        self.loaded.index_digest(content)
    }

    /// The names in a directory, encoded, if none has come or gone since they were read.
    pub(super) fn names(&self, path: Option<&TreePath>, stamp: &Stamp) -> Option<&[u8]> {
        let path = path.map_or(&[][..], TreePath::as_bytes);
        let found = self.loaded.directory(path)?;
        (found.stamp() == *stamp).then_some(found.names)
    }

    /// Remembers this capture instead, if reading again what is new would cost more than writing
    /// all of it.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; the next capture will be slower and that is all.
    pub(super) fn update<'a>(
        &self,
        new_cost: u64,
        captured: Captured<
            '_,
            impl Iterator<Item = (&'a [u8], Stamp, Cow<'a, [u8]>)>,
            impl Iterator<Item = (&'a [u8], Stamp, &'a [ChunkRef])>,
        >,
    ) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if new_cost == 0 || new_cost < self.loaded.len() / WRITE_GAIN {
            return Ok(());
        }
        let mut encoder = Encoder::new(&self.root, captured.indexes);
        encoder.directories(captured.directories);
        for (path, stamp, chunks) in captured.files {
            encoder.entry(path, &stamp, chunks);
        }
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        create_private_directory(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&encoder.finish())?;
        // Not synchronised: what a power cut damages is noticed and made anew.
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// What is worth remembering of a capture. Directories and files are sorted by path and were all
/// left alone for long enough.
#[derive(Debug)]
pub(super) struct Captured<'i, D, F> {
    /// The BLAKE3 and the digest of index files.
    pub(super) indexes: &'i [([u8; 32], [u8; 32])],
    /// Directories (an empty path is the root) with the encoded names in them.
    pub(super) directories: D,
    /// Files with their chunks.
    pub(super) files: F,
}

/// Where what is remembered of a tree is kept.
pub(super) fn place(directory: &Path, root: &AbsolutePath) -> PathBuf {
    directory.join(blake3::hash(root.as_bytes()).to_hex().as_str())
}

/// What it costs to read a file of this size again.
pub(super) fn read_cost(size: u64) -> u64 {
    size.saturating_add(READ_COST)
}

/// A place in the sorted files of a cache.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    loaded: &'a Loaded,
    at: usize,
}

/// What is remembered of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recalled {
    /// It has not changed, and holds these chunks.
    Same(Vec<ChunkRef>),
    /// It has changed, and held these.
    Changed(Vec<ChunkRef>),
    Nothing,
}

impl Cursor<'_> {
    /// What is remembered of a file that has this stamp now; paths come in ascending order.
    pub(super) fn find(&mut self, path: &[u8], stamp: &Stamp) -> Recalled {
        while let Some(entry) = self.loaded.entry(self.at) {
            if entry.path == path {
                self.at += 1;
                let same = entry.stamp() == *stamp;
                let recalled = if same { Recalled::Same } else { Recalled::Changed };
                return recalled(entry.chunks());
            }
            if compare_by_components(entry.path, path).is_gt() {
                break;
            }
            self.at += 1;
        }
        Recalled::Nothing
    }
}

#[cfg(test)]
mod tests;
