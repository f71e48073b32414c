//! The engine that needs nothing installed: SQLite for log, queue, index and devices; segment
//! files for content. One process per directory, held by a lock.
//!
//! ```text
//! DIR/lock             held while a daemon has the store open
//! DIR/handoffd.db      SQLite, WAL, synchronous=FULL; written by one thread
//! DIR/segments/*.seg   content, append-only, 64 MiB at most; the database knows what is valid
//! ```

mod blob_reader;
mod blob_writer;
mod blobs;
mod devices;
mod lock;
mod log;
mod queue;
mod readers;
mod schema;
mod segment;
mod segments;
mod tail;
mod usage;
mod writer;

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use devices::{Device, DeviceStore, EnrollError, Invitation};
pub use lock::wait_until_closed;

use tokio::sync::watch;

use super::{Store, StoreError};
use lock::Lock;
use readers::Readers;
use segments::Segments;
use writer::Writer;

/// A handle to the open store. The store closes when its last handle is dropped, after everything
/// that was asked for is done.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    writer: Writer,
    readers: Arc<Readers>,
    segments: Arc<Segments>,
    /// Told each time that devices were revoked.
    revocations: watch::Sender<()>,
    // Last: the lock is given up when all else is closed.
    _lock: Lock,
}

impl Embedded {
    /// Opens the store in `directory`, making it when it is missing. Leases that an earlier
    /// process held end, since its workers are gone. May block.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open, [`StoreError::Newer`] when a newer
    /// version wrote it, otherwise what the system reports.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        make_directory(directory)?;
        let lock = Lock::acquire(directory)?;
        let connection = schema::open(directory)?;
        queue::end_all_leases(&connection).map_err(|source| readers::failed(directory, source))?;
        let segments = Segments::open(directory, &connection)?;
        let readers = Arc::new(Readers::new(directory));
        let writer = Writer::start(directory, connection)?;
        sync_directory(directory)?;
        Ok(Self(Arc::new(Inner {
            directory: directory.to_owned(),
            writer,
            readers,
            segments: Arc::new(segments),
            revocations: watch::Sender::new(()),
            _lock: lock,
        })))
    }

    /// The three interfaces of this store.
    #[must_use]
    pub fn interfaces(&self) -> Store {
        let this = Arc::new(self.clone());
        Store { log: this.clone(), queue: this.clone(), blobs: this }
    }

    /// Invitations and devices.
    #[must_use]
    pub fn devices(&self) -> DeviceStore {
        DeviceStore::new(self.clone())
    }

    /// The directory that it is in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Bytes that the file system still has for this user.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(self.directory()).map_err(|errno| StoreError::Io {
            act: "ask for the free space of",
            path: self.directory().to_owned(),
            source: errno.into(),
        })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn writer(&self) -> &Writer {
        &self.0.writer
    }

    fn readers(&self) -> &Arc<Readers> {
        &self.0.readers
    }

    fn segments(&self) -> &Arc<Segments> {
        &self.0.segments
    }

    fn revocations(&self) -> &watch::Sender<()> {
        &self.0.revocations
    }
}

/// Makes a directory for this user alone, durably, unless it is there.
fn make_directory(path: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| {
        StoreError::Io { act: "make directory", path: path.to_owned(), source }
    })?;
    missing.into_iter().filter_map(Path::parent).try_for_each(sync_directory)
}

/// Makes the names in a directory durable.
fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|source| StoreError::Io {
        act: "sync",
        path: path.to_owned(),
        source,
    })
}

/// The stored form of a time: milliseconds since the Unix epoch.
fn to_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Reads the stored form of a time.
fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs())
}
