//! From a captured tree to a receipt: offers it, sends what the daemon lacks, checks the receipt.
//!
//! A broken connection is not the end: the same offer with the same key is made again, and only
//! what is not on the daemon yet is sent again. Only a receipt that matches makes it safe to
//! disconnect.

mod bundle;
mod call;
mod delta;
mod flight;
mod pace;
mod parcel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use handoff_proto::run::RunId;
use handoff_proto::wire;

pub use self::delta::{Delta, Known};
use crate::backoff::Backoff;
use crate::capture::ChangedSince;
use crate::output::Output;
use crate::remote::{self, Remote};

pub use parcel::Parcel;

/// Bytes of an idempotency key.
pub const KEY_BYTES: usize = 32;

/// How often a handoff is tried again in a row without getting any further.
const RETRIES: u32 = 8;

/// How long it is tried again in a row without getting any further: whoever waits in front of the
/// terminal is told then, and the outbox keeps what is left.
const STUCK_MAX: Duration = Duration::from_secs(90);

/// The longest pause before a retry.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// What is handed off.
#[derive(Clone, Debug)]
pub struct Offer {
    key: [u8; KEY_BYTES],
    /// The name wanted for the run; empty lets the daemon choose.
    pub name: String,
    /// What the run may do.
    pub contract: wire::Contract,
}

/// The proof that the daemon has everything.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The run.
    pub id: RunId,
    /// The run as it stands.
    pub run: wire::RunView,
    /// Where the remote's stream of all events stood just before the run's first one.
    pub cursor: String,
    /// Compressed bytes that the daemon received in the last attempt.
    pub bundle_bytes: u64,
}

/// The tree was not handed off.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The remote cannot be reached or refuses.
    #[error("cannot hand off to remote {remote}")]
    Remote {
        /// The remote.
        remote: String,
        /// Why.
        source: Box<remote::Error>,
    },
    /// The tree is no longer what was captured.
    #[error("cannot send the tree as it was captured")]
    Changed(#[source] ChangedSince),
    /// The receipt is for something else than what was sent.
    #[error("the receipt of remote {remote} is not for what was sent: {what}")]
    Receipt {
        /// The remote.
        remote: String,
        /// What differs.
        what: String,
    },
    /// The system has no random numbers.
    #[error("cannot make a key")]
    Random(#[source] std::io::Error),
}

impl TransferError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Remote { source, .. } => source.hint(),
            Self::Changed(_) => Some("stop what writes there, then try again".to_owned()),
            Self::Receipt { .. } => {
                Some("do not rely on that run; `handoff ls` shows it".to_owned())
            }
            Self::Random(_) => None,
        }
    }
}

impl Offer {
    /// An offer that has never been made before.
    ///
    /// # Errors
    ///
    /// Where the system has no random numbers.
    pub fn new(name: String, contract: wire::Contract) -> Result<Self, TransferError> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key)
            .map_err(|error| TransferError::Random(std::io::Error::other(error.to_string())))?;
        Ok(Self { key, name, contract })
    }

    /// An offer that may have been made before: it makes no second run.
    #[must_use]
    pub fn again(key: [u8; KEY_BYTES], name: String, contract: wire::Contract) -> Self {
        Self { key, name, contract }
    }

    /// What makes all attempts one handoff.
    #[must_use]
    pub fn key(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }
}

/// Hands a snapshot off; where there is a delta to what the remote has, that is sent of the manifest.
/// `connect` is called after the connection broke.
///
/// # Errors
///
/// See [`TransferError`]; unless the daemon got everything and only the receipt was lost, there is
/// no run then.
pub async fn hand_off<Connecting, E>(
    offer: &Offer,
    parcel: &Parcel,
    delta: Option<&Delta>,
    output: &Output,
    mut remote: Remote,
    mut connect: impl FnMut() -> Connecting,
) -> Result<Receipt, TransferError>
where
    Connecting: Future<Output = Result<Remote, E>>,
{
    let progress = Arc::new(output.progress("sending", 0));
    let mut backoff = Backoff::new(PAUSE_MAX);
    let (mut retries, mut stuck_since) = (0, Instant::now());
    let (mut lacked_bytes, mut told) = (u64::MAX, false);
    loop {
        let attempt = call::attempt(&remote, offer, parcel, delta, &progress).await;
        let failure = match attempt.outcome {
            Ok(receipt) => return Ok(receipt),
            Err(failure) => failure,
        };
        let transient =
            matches!(&failure, TransferError::Remote { source, .. } if source.is_transient());
        // What a broken attempt achieved is often known only when the next one asks.
        let lacking_bytes = attempt.lacking_bytes.unwrap_or(lacked_bytes);
        if attempt.got_further || lacking_bytes < lacked_bytes {
            (retries, stuck_since) = (0, Instant::now());
            backoff.reset();
        }
        lacked_bytes = lacking_bytes;
        if !transient || retries == RETRIES || stuck_since.elapsed() > STUCK_MAX {
            return Err(failure);
        }
        let pause = backoff.pause();
        if !told {
            told = true;
            let why = crate::exit::chain_text(&failure);
            progress.suspend(|| output.note(format_args!("{why}; trying again")));
        }
        retries += 1;
        tokio::time::sleep(pause).await;
        // A daemon on this machine may come back at another address.
        if let Ok(again) = connect().await {
            remote = again;
        }
    }
}

#[cfg(test)]
mod tests;
