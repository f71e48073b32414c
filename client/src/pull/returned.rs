//! What a run started from and what it returned.

use handoff_proto::manifest::{ResultId, ResultManifest, SnapshotId, SnapshotManifest, Timestamp};
use handoff_proto::run::{RunId, RunName};
use handoff_proto::wire::RunView;

use super::fetch::{self, FetchError};
use crate::remote::Remote;
use crate::runs::{HandedOff, Ledger};
use crate::wording::one_line;

/// Longest text of a remote in a message, in characters.
const WORDS_MAX: usize = 1024;

/// A finished run with its result.
#[derive(Debug)]
pub struct Returned {
    /// The run as its remote shows it.
    pub run: RunView,
    /// What was handed off.
    pub base: SnapshotManifest,
    /// What came back.
    pub result: ResultManifest,
    /// Its id.
    pub result_id: ResultId,
    /// When it was handed off, if that was from here.
    pub handed_off_at: Option<Timestamp>,
}

/// Why there is nothing to bring back.
#[derive(Debug, thiserror::Error)]
pub enum ReturnedError {
    /// The run is still at work.
    #[error("run {name} has not finished: it is {state}")]
    Unfinished {
        /// The run's name.
        name: String,
        /// Where it stands.
        state: String,
    },
    /// The run came to its end without a result.
    #[error("run {name} returned nothing: {why}")]
    Nothing {
        /// The run's name.
        name: String,
        /// What happened.
        why: String,
    },
    /// The daemon could not collect what the run left behind.
    #[error("the result of run {name} could not be collected: {why}")]
    NotCollected {
        /// The run's name.
        name: String,
        /// What happened.
        why: String,
    },
    /// The remote says something that makes no sense.
    #[error("the remote names the {what} of run {name} in a way that makes no sense")]
    Senseless {
        /// The run's name.
        name: String,
        /// What it names.
        what: &'static str,
    },
    /// The result says that it was made from something else.
    #[error("the result of run {name} was not made from what was handed off")]
    OtherBase {
        /// The run's name.
        name: String,
    },
    /// A manifest cannot be had.
    #[error("cannot get what run {name} returned")]
    Fetch {
        /// The run's name.
        name: String,
        /// Why.
        source: Box<FetchError>,
    },
}

/// Gets both manifests of a run: what is remembered here need not be fetched.
///
/// # Errors
///
/// Where the run has no result, or a manifest cannot be had.
pub async fn returned(
    remote: &Remote,
    run: RunView,
    ledger: &Ledger,
) -> Result<Returned, ReturnedError> {
    let name = || one_line(&run.name, WORDS_MAX);
    if run.outcome.is_empty() {
        return Err(ReturnedError::Unfinished {
            name: name(),
            state: one_line(&run.state, WORDS_MAX),
        });
    }
    if run.result.is_empty() {
        return Err(no_result(&run));
    }
    let senseless = |what| ReturnedError::Senseless { name: name(), what };
    let id = |bytes: &[u8], what| <[u8; 32]>::try_from(bytes).map_err(|_| senseless(what));
    let snapshot_id = SnapshotId::from_bytes(id(&run.snapshot, "snapshot")?);
    let result_id = ResultId::from_bytes(id(&run.result, "result")?);
    let failed = |error: FetchError| ReturnedError::Fetch { name: name(), source: Box::new(error) };
    let run_id = RunId::parse(&run.id).map_err(|_| senseless("id"))?;
    // It becomes a part of paths and branches.
    RunName::parse(&run.name).map_err(|_| senseless("name"))?;
    let known = ledger.recall(&run_id).ok().flatten();
    let known = known.filter(|known| known.remote == remote.name());
    if known.as_ref().is_some_and(|known| known.snapshot != snapshot_id) {
        return Err(ReturnedError::OtherBase { name: name() });
    }
    // What is remembered only saves a call: whatever is wrong with it, the remote has it too.
    let handed_off_at = known.as_ref().map(moment);
    let base = async {
        match remembered(ledger, known).await {
            Some(base) => Ok(base),
            None => fetch::snapshot(remote, &run.id, snapshot_id).await,
        }
    };
    let result = fetch::result(remote, &run.id, result_id);
    let (base, result) = tokio::try_join!(base, result).map_err(failed)?;
    check_base(&result, snapshot_id, &run.name)?;
    Ok(Returned { base, result, result_id, handed_off_at, run })
}

/// Refuses a result that was not made from this snapshot.
fn check_base(
    result: &ResultManifest,
    snapshot: SnapshotId,
    run: &str,
) -> Result<(), ReturnedError> {
    if result.base == snapshot {
        return Ok(());
    }
    Err(ReturnedError::OtherBase { name: run.to_owned() })
}

/// The snapshot of a run as it was sent from here.
async fn remembered(ledger: &Ledger, known: Option<HandedOff>) -> Option<SnapshotManifest> {
    let (ledger, known) = (ledger.clone(), known?);
    tokio::task::spawn_blocking(move || ledger.snapshot(&known).ok()).await.ok().flatten()
}

fn no_result(run: &RunView) -> ReturnedError {
    let name = one_line(&run.name, WORDS_MAX);
    if !run.result_failure.is_empty() {
        return ReturnedError::NotCollected { name, why: one_line(&run.result_failure, WORDS_MAX) };
    }
    let why = match one_line(&run.outcome_detail, WORDS_MAX).as_str() {
        "" => format!("it {}", one_line(&run.outcome, WORDS_MAX).replace('_', " ")),
        detail => format!("{}, {detail}", one_line(&run.outcome, WORDS_MAX).replace('_', " ")),
    };
    ReturnedError::Nothing { name, why }
}

fn moment(known: &HandedOff) -> Timestamp {
    const SECOND: i64 = 1_000_000_000;
    let nanos = u32::try_from(known.at_unix_nanos.rem_euclid(SECOND)).unwrap_or_default();
    Timestamp { secs: known.at_unix_nanos.div_euclid(SECOND), nanos }
}

#[cfg(test)]
mod tests {
    use handoff_proto::manifest::VERSION;

    use super::*;

    #[test]
    fn a_result_of_another_snapshot_is_refused() {
        let [ours, other] = [1, 2].map(|byte| SnapshotId::from_bytes([byte; 32]));
        let result = ResultManifest {
            version: VERSION,
            base: ours,
            root: "/home/ada".parse().unwrap(),
            entries: Vec::new(),
            repositories: Vec::new(),
            new_repositories: Vec::new(),
            session: None,
        };
        check_base(&result, ours, "fix").unwrap();
        let refused = check_base(&result, other, "fix").unwrap_err().to_string();
        assert_eq!(refused, "the result of run fix was not made from what was handed off");
    }
}
