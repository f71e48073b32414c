//! Reads the log when the daemon starts.

use std::collections::BTreeMap;

use handoff_proto::run::{Run, RunId};

use super::error::RegistryError;
use crate::store::{Rev, Store};

/// How many records are read at once.
const BATCH: usize = 1000;

/// Folds the whole log into its runs.
pub(super) async fn fold(store: &Store) -> Result<BTreeMap<RunId, (Run, Rev)>, RegistryError> {
    let mut runs: BTreeMap<RunId, (Run, Rev)> = BTreeMap::new();
    let mut after = Rev::ZERO;
    loop {
        let batch = store.log.scan(after, BATCH).await?;
        if batch.is_empty() {
            return Ok(runs);
        }
        for (rev, id, record) in batch {
            let folded = match runs.get_mut(&id) {
                None => Run::open(&record).map(|run| {
                    runs.insert(id.clone(), (run, rev));
                }),
                Some((run, at)) => run.apply(&record).map(|()| *at = rev),
            };
            folded.map_err(|source| RegistryError::Damaged { run: id, source })?;
            after = rev;
        }
    }
}
