//! Where events, queued runs and content are kept: three interfaces, one set of semantics.
//!
//! The log is the only truth and the only fence; the queue is a hint; blobs are content. Callers
//! hold the interfaces and never learn which engine is behind them; `embedded` needs nothing
//! installed. Knows nothing of sandboxes, networks or the command line.

mod error;
mod user;

mod blob_store;
mod event_log;
mod quota;
mod run_queue;

pub mod embedded;

pub mod durable_file;

use std::sync::Arc;

pub use blob_store::{BLOB_BYTES_MAX, BlobError, BlobStore, BlobWriter, Usage};
pub use error::StoreError;
pub use event_log::{
    APPEND_BYTES_MAX, AppendError, EventLog, Rev, RevError, Scope, Tail, TailItem,
};
pub use quota::{Quota, QuotaExceeded, Quotas, Reservation};
pub use run_queue::{Lease, LeaseError, RunQueue};
pub use user::{USER_NAME_LEN_MAX, UserName, UserNameError};

/// The three interfaces together; cloning it clones handles.
#[derive(Clone)]
pub struct Store {
    /// What happened to every run.
    pub log: Arc<dyn EventLog>,
    /// Which runs wait for a worker.
    pub queue: Arc<dyn RunQueue>,
    /// Content by hash, apart for each user.
    pub blobs: Arc<dyn BlobStore>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
