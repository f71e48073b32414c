//! Files that the trees of a user's runs share blocks with: where no overlay is possible but the
//! file system lets files share blocks, a large file costs a run no more than an empty one.
//!
//! ```text
//! <state>/originals/
//!   <boot>/<user>/<id>     what a file holds, called after its chunks
//!   <boot>/<user>/.new-…   on its way in; garbage after a crash
//! ```
//!
//! An original appears whole, by rename, and is never written again; whoever shares its blocks has
//! a file of its own, and the file system gives that other blocks for what is written there. The
//! kernel shares only what it has written out, so the first run of a tree waits for the disk, file
//! by file. Nobody waits for names and metadata: an original is a copy of what the store keeps, so
//! all are thrown away that were made before the machine started last. It stays as long as a run
//! needs its content, like the content itself. Never shared between users; no run sees one. One that
//! has another size, mode, time or number of names than it was left with is not used; content is not
//! read to find that out.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::Entry;
use handoff_proto::tree::FileError;
use rustix::fs::{Mode, OFlags, ftruncate, ioctl_ficlone, open};
use rustix::io::Errno;

use super::content::Source;
use super::error::WorkspaceError;
use super::remove::{RemoveError, remove};
use super::trees::{boot, names};
use crate::store::UserName;

/// Smaller files are written for each run: on xfs and btrfs alike that takes no longer than to share
/// them (some 20 µs where the original's content is on the disk already), and of the disk it takes
/// a few blocks.
const SIZE_MIN: u64 = 16 << 10;

/// Nobody writes there any more.
const MODE: u32 = 0o400;

/// When each was modified, in seconds since 1970: whoever writes there changes that.
const MODIFIED: u32 = 1_000_000_000;

/// Begins the names of what is on its way in.
const NEW: &str = ".new-";

/// All the originals of a daemon.
#[derive(Debug)]
pub struct Originals {
    directory: PathBuf,
    boot: String,
}

/// Where a daemon's are, in its state directory.
pub(super) fn directory(state: &Path) -> PathBuf {
    state.join("originals")
}

/// Whether a file is large enough to have an original.
pub(super) fn is_worth_one(entry: &Entry) -> bool {
    entry.size() >= SIZE_MIN
}

fn not_removed(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> WorkspaceError {
    move |source| RemoveError { directory: path.into(), source }.into()
}

/// Another one at each start of the daemon where the system does not tell boots apart.
fn unknown_boot() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("unknown-{}-{}", now.as_nanos(), std::process::id())
}

/// What the original of a file is called: equal content, equal name.
fn name(entry: &Entry) -> ChunkId {
    let chunks = entry.chunks().iter();
    let ids: Vec<u8> = chunks.flat_map(|chunk| chunk.id.as_bytes()).copied().collect();
    ChunkId::of(&ids)
}

impl Originals {
    /// The originals in a daemon's state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        let boot = match boot().trim() {
            "" => unknown_boot(),
            boot => boot.to_owned(),
        };
        Self { directory: directory(state), boot }
    }

    /// Removes what a crash left on its way in. Blocks; for a daemon that has just started.
    ///
    /// # Errors
    ///
    /// When something cannot be listed or removed; the rest is removed all the same.
    pub fn clean(&self) -> Result<(), WorkspaceError> {
        let mut cleaned = Ok(());
        for user in self.users()? {
            let directory = self.path(&user);
            for name in names(&directory)?.into_iter().filter(|name| name.starts_with(NEW)) {
                let path = directory.join(name);
                cleaned = cleaned.and(fs::remove_file(&path).map_err(not_removed(path)));
            }
        }
        cleaned
    }

    /// Removes all that was made before the machine started last, as it may not have reached the
    /// disk. Nothing looks at it any more, so runs can start meanwhile. Blocks, where there is much
    /// for long.
    ///
    /// # Errors
    ///
    /// When something cannot be listed or removed; what is of another boot is removed all the same.
    pub fn remove_earlier(&self) -> Result<(), WorkspaceError> {
        let earlier = names(&self.directory)?.into_iter().filter(|boot| *boot != self.boot);
        let mut removed = Ok(());
        for boot in earlier {
            removed = removed.and(remove(&self.directory.join(boot)).map_err(WorkspaceError::from));
        }
        removed
    }

    /// The users who have some. Blocks.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub fn users(&self) -> Result<Vec<String>, WorkspaceError> {
        names(&self.directory.join(&self.boot))
    }

    /// The names of a user's originals that hold none of the files of `needed`. Blocks.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub fn garbage(
        &self,
        user: &UserName,
        needed: &OriginalIds,
    ) -> Result<Vec<PathBuf>, WorkspaceError> {
        let directory = self.path(user.as_str());
        let needed: HashSet<String> = needed.0.iter().map(ToString::to_string).collect();
        // What is on its way in belongs to whoever is making it.
        let unneeded = |name: &String| !name.starts_with(NEW) && !needed.contains(name);
        let found = names(&directory)?.into_iter().filter(unneeded);
        Ok(found.map(|name| directory.join(name)).collect())
    }

    /// Removes what is garbage. Blocks.
    ///
    /// # Errors
    ///
    /// When something cannot be removed; the rest is removed all the same.
    pub fn remove(&self, garbage: &[PathBuf]) -> Result<(), WorkspaceError> {
        let mut all = Ok(());
        for path in garbage {
            let removed = match fs::remove_file(path) {
                // By whoever made it for a tree that failed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.map_err(not_removed(path)),
            };
            all = all.and(removed);
        }
        all
    }

    fn path(&self, user: &str) -> PathBuf {
        self.directory.join(&self.boot).join(user)
    }

    /// A user's, for one tree.
    pub(super) fn of_user(&self, user: &UserName) -> Result<OfUser, WorkspaceError> {
        let directory = self.path(user.as_str());
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        private.create(&directory).map_err(WorkspaceError::make(&directory))?;
        Ok(OfUser { directory, made: Mutex::default() })
    }
}

/// Which originals are needed.
#[derive(Clone, Debug, Default)]
pub struct OriginalIds(HashSet<ChunkId>);

impl OriginalIds {
    /// Adds those of a tree's files.
    pub fn add(&mut self, entries: &[Entry]) {
        self.0.extend(entries.iter().filter(|entry| is_worth_one(entry)).map(name));
    }
}

/// One user's originals, and which of them were made for the tree that is being written.
#[derive(Debug)]
pub(super) struct OfUser {
    directory: PathBuf,
    made: Mutex<Vec<PathBuf>>,
}

impl OfUser {
    /// Gives an empty file the content of the original, which is made if it is not there, and
    /// returns the size in bytes.
    pub(super) fn share(
        &self,
        source: &Source<'_>,
        entry: &Entry,
        file: &File,
    ) -> Result<u64, FileError> {
        let failed = |errno: Errno| {
            let path = entry.path.to_string();
            FileError::Io { action: "share the blocks of", path, source: errno.into() }
        };
        let place = self.directory.join(name(entry).to_string());
        let original = match open_whole(&place, entry.size()) {
            Some(original) => original,
            None => self.make(source, entry, &place)?,
        };
        match ioctl_ficlone(file, &original) {
            Ok(()) => Ok(entry.size()),
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) => Err(failed(errno)),
            // Blocks cannot be shared more often than so and so many times, for one.
            Err(_) => {
                ftruncate(file, 0).map_err(failed)?;
                source.fill(entry, file)
            }
        }
    }

    fn make(&self, source: &Source<'_>, entry: &Entry, place: &Path) -> Result<File, FileError> {
        let failed = |source| {
            let path = entry.path.to_string();
            FileError::Io { action: "keep the original of", path, source }
        };
        let new = tempfile::Builder::new().prefix(NEW).tempfile_in(&self.directory);
        let new = new.map_err(failed)?;
        source.fill(entry, new.as_file())?;
        new.as_file().set_permissions(Permissions::from_mode(MODE)).map_err(failed)?;
        let modified = UNIX_EPOCH + Duration::from_secs(MODIFIED.into());
        new.as_file().set_times(FileTimes::new().set_modified(modified)).map_err(failed)?;
        let made = new.persist(place).map_err(|error| failed(error.error))?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(place.to_owned());
        Ok(made)
    }

    /// Removes what was made for a tree that failed: it may be what the disk is full of. Who is
    /// sharing blocks with one of them meanwhile has it open.
    pub(super) fn take_back(&self) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.drain(..).for_each(|path| drop(fs::remove_file(path)));
    }
}

/// Opens an original if it is a file of the size, mode, time and only name that it was left with.
fn open_whole(place: &Path, size: u64) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(place, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok()?;
    let is_whole = meta.is_file()
        && meta.nlink() == 1
        && (meta.len(), meta.mode() & 0o7777) == (size, MODE)
        && (meta.mtime(), meta.mtime_nsec()) == (MODIFIED.into(), 0);
    is_whole.then_some(file)
}

/// Finds out whether a file in one directory can share blocks with one in another, by letting two
/// do it.
pub(super) fn attempt(originals: &Path, runs: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;

    let content = vec![b'x'; usize::try_from(SIZE_MIN).unwrap_or_default()];
    let (first, second) = (tempfile::tempfile_in(originals)?, tempfile::tempfile_in(runs)?);
    first.write_all_at(&content, 0)?;
    ioctl_ficlone(&second, &first)?;
    second.write_all_at(b"changed", 0)?;
    let mut found = vec![0; content.len()];
    first.read_exact_at(&mut found, 0)?;
    if found == content { Ok(()) } else { Err(io::Error::other("a change shows in the original")) }
}
