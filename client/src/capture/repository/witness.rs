//! Remembers what files were when they were read, to tell later that nothing has changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::manifest::Timestamp;

use crate::capture::stat_cache::{COARSE, Moment, Stamp};

/// Files and directories that were looked at, absent ones too.
#[derive(Clone, Debug)]
pub(super) struct Witnesses {
    began: Moment,
    seen: Vec<(PathBuf, Option<Seen>)>,
}

/// What was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    mode: u32,
    stamp: Stamp,
}

impl Seen {
    pub(super) fn is_file(&self) -> bool {
        rustix::fs::FileType::from_raw_mode(self.mode) == rustix::fs::FileType::RegularFile
    }
}

impl Witnesses {
    pub(super) fn new() -> Self {
        Self { began: Moment::now(), seen: Vec::new() }
    }

    /// Looks at a path that is about to be read. `None` inside if nothing is there, outside if it
    /// cannot be told.
    pub(super) fn note(&mut self, path: &Path) -> Option<Option<Seen>> {
        let seen = look(path)?;
        self.seen.push((path.to_owned(), seen));
        Some(seen)
    }

    /// Whether everything is certain to be as it was. What was changed a moment before it was read
    /// may have changed again without a trace.
    pub(super) fn still_hold(&self) -> bool {
        self.seen.iter().all(|(path, seen)| {
            let is_old = seen.is_none_or(|seen| self.began.is_after(&seen.stamp, COARSE));
            is_old && look(path) == Some(*seen)
        })
    }
}

fn look(path: &Path) -> Option<Option<Seen>> {
    let time =
        |secs, nanos: i64| Timestamp { secs, nanos: u32::try_from(nanos).unwrap_or_default() };
    match fs::symlink_metadata(path) {
        Ok(meta) => {
            let stamp = Stamp {
                size: meta.len(),
                mtime: time(meta.mtime(), meta.mtime_nsec()),
                ctime: time(meta.ctime(), meta.ctime_nsec()),
                inode: meta.ino(),
            };
            Some(Some(Seen { mode: meta.mode(), stamp }))
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Some(None)
        }
        Err(_) => None,
    }
}
