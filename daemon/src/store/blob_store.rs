//! Content by hash, apart for each user.
//!
//! Nothing crosses users: a hash that one user stored is unknown for every other, so knowing a
//! hash neither obtains content nor tells that it exists. Never interprets content.

use bytes::Bytes;
use handoff_proto::chunk::{Chunk, ChunkId};
use thiserror::Error;

use super::{StoreError, UserName};

/// Largest blob in bytes: a manifest of some ten million entries.
pub const BLOB_BYTES_MAX: usize = 1 << 30;

/// A blob could not be stored or read.
#[derive(Debug, Error)]
pub enum BlobError {
    /// This user has no such blob.
    #[error("blob {id} is not in the store")]
    Missing {
        /// The blob.
        id: ChunkId,
    },
    /// The bytes do not have the hash that they were sent under.
    #[error("content does not match its id {id}")]
    WrongHash {
        /// The id that was claimed.
        id: ChunkId,
    },
    /// The blob can never be stored.
    #[error("blob {id} of {bytes} bytes is over the limit of {BLOB_BYTES_MAX} bytes")]
    TooLarge {
        /// The blob.
        id: ChunkId,
        /// Its size.
        bytes: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a user has stored. Manifests count like any other blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all blobs together.
    pub bytes: u64,
    /// How many blobs.
    pub blobs: u64,
}

/// Content-addressed storage, scoped by user.
#[tonic::async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Which of these blobs the user does not have, in the order given, each once.
    async fn lacks(&self, user: &UserName, ids: &[ChunkId]) -> Result<Vec<ChunkId>, StoreError>;

    /// What the user has stored, without counting it anew.
    async fn usage(&self, user: &UserName) -> Result<Usage, StoreError>;

    /// Every user who has blobs.
    async fn owners(&self) -> Result<Vec<UserName>, StoreError>;

    /// Every blob of a user with its size in bytes. For collecting only: a million of them take a
    /// second.
    async fn list(&self, user: &UserName) -> Result<Vec<(ChunkId, u64)>, StoreError>;

    /// Starts storing blobs for a user. Nothing is visible before [`BlobWriter::commit`].
    fn writer(&self, user: &UserName) -> Box<dyn BlobWriter>;

    /// Reads one blob, whole and verified.
    async fn get(&self, user: &UserName, id: &ChunkId) -> Result<Bytes, BlobError>;

    /// The same for code that may block: made for reading thousands of chunks in a row. Never
    /// call it on a runtime's own thread.
    fn read_blocking(&self, user: &UserName, id: &ChunkId) -> Result<Bytes, BlobError>;

    /// Removes blobs; those that the user does not have are skipped.
    async fn delete(&self, user: &UserName, ids: &[ChunkId]) -> Result<(), StoreError>;
}

/// Blobs on their way in. Dropping it without a commit leaves no trace. All methods block: use it
/// where blocking is allowed.
pub trait BlobWriter: Send {
    /// Adds one blob after checking its hash. A blob that is there already is skipped.
    ///
    /// # Errors
    /// When the hash is wrong, the blob too large, or the store fails; the writer stays usable
    /// after the first two.
    fn put(&mut self, id: &ChunkId, bytes: &[u8]) -> Result<(), BlobError> {
        self.put_verified(Chunk::verify(*id, bytes).ok_or(BlobError::WrongHash { id: *id })?)
    }

    /// The same for content whose hash was checked. Whoever implements this checks the size.
    ///
    /// # Errors
    /// When the blob is too large or the store fails.
    fn put_verified(&mut self, chunk: Chunk<&[u8]>) -> Result<(), BlobError>;

    /// Writes what was put to the disk, so that the commit waits for less.
    ///
    /// # Errors
    /// When the store fails; nothing can be committed then.
    fn write_ahead(&mut self) -> Result<(), BlobError> {
        Ok(())
    }

    /// Makes everything that was put durable, then visible, all at once.
    ///
    /// # Errors
    /// When nothing became visible; [`BlobError::Missing`] names a blob that was skipped as
    /// present and has been deleted since.
    fn commit(self: Box<Self>) -> Result<(), BlobError>;
}
