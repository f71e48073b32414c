//! Finds this very executable, to show it inside as init wherever it is kept on the host.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::source::{self, Source};
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::Access;

/// Where a jail shows this very executable.
pub const PATH: &str = "/handoff/init";

/// What anybody must be allowed to do with a file to run it.
const EVERYONE_READS_AND_RUNS: u32 = 0o005;

/// The executable, ready to be shown.
#[derive(Debug)]
pub(super) enum Executable {
    /// The file itself.
    Mounted(Source),
    /// Its contents, where the file has been replaced (an upgrade under a running daemon) or is
    /// not for everybody.
    Copied { contents: File, bytes: u64 },
}

impl Executable {
    /// Returns how much of the stage it takes.
    pub(super) const fn bytes(&self) -> u64 {
        match self {
            Self::Mounted(_) => 0,
            Self::Copied { bytes, .. } => *bytes,
        }
    }
}

/// Opens the executable of this process.
pub(super) fn open() -> Result<Executable, Refusal> {
    let refuse = "open our own executable";
    let running = File::open("/proc/self/exe").refuse(Step::Source, refuse)?;
    let known = running.metadata().refuse(Step::Source, refuse)?;
    let path = fs::read_link("/proc/self/exe").refuse(Step::Source, refuse)?;
    if known.mode() & EVERYONE_READS_AND_RUNS == EVERYONE_READS_AND_RUNS
        && let Ok(found) = same_file(&path, (known.dev(), known.ino()))
    {
        // The descriptor of the running program belongs to the caller's mounts, which cannot be
        // copied from here; the same file found by name belongs to ours.
        let target = Path::new(PATH);
        return source::detach(found.as_fd(), &path, target, Access::ReadOnly)
            .map(Executable::Mounted);
    }
    Ok(Executable::Copied { contents: running, bytes: known.len() })
}

fn same_file(path: &Path, identity: (u64, u64)) -> io::Result<File> {
    let found = File::open(path)?;
    let metadata = found.metadata()?;
    if (metadata.dev(), metadata.ino()) == identity {
        Ok(found)
    } else {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}
