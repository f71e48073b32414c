//! From an entry to a remembered run.

use std::path::Path;
use std::sync::Arc;

use handoff_proto::chunk::ChunkIdSet;

use super::entry::{Entry, Standing};
use super::error::{NotSent, OutboxError};
use super::held::Held;
use super::kept::Kept;
use super::reach::fate;
use crate::agents::lease;
use crate::capture::Capture;
use crate::exit::chain_text;
use crate::notifier;
use crate::output::Output;
use crate::remote::Remote;
use crate::runs::{HandedOff, Ledger};
use crate::settings::{Places, Settings};
use crate::transfer::{Parcel, Receipt, hand_off};

/// An entry that was sent.
#[derive(Debug)]
pub struct Delivered {
    /// What it was.
    pub entry: Entry,
    /// The proof.
    pub receipt: Receipt,
}

/// Sends what an earlier process could not send. `connect` is called first, and again after the
/// connection broke.
///
/// # Errors
///
/// Whatever kept it from being sent; it is kept then.
pub async fn finish<Connecting>(
    mut held: Held,
    settings: &Settings,
    output: &Output,
    connect: impl FnMut() -> Connecting,
) -> anyhow::Result<Delivered>
where
    Connecting: Future<Output = anyhow::Result<Remote>>,
{
    match send(&held, settings, output, connect).await {
        Ok((receipt, parcel)) => {
            let entry = held.entry().clone();
            sent(&settings.places, output, &entry, Some(held), parcel.encoded(), &receipt);
            Ok(Delivered { entry, receipt })
        }
        Err(error) => {
            // The error itself says more than that it cannot be written down.
            drop(held.stands(fate(&error)));
            Err(error)
        }
    }
}

async fn send<Connecting>(
    held: &Held,
    settings: &Settings,
    output: &Output,
    mut connect: impl FnMut() -> Connecting,
) -> anyhow::Result<(Receipt, Parcel)>
where
    Connecting: Future<Output = anyhow::Result<Remote>>,
{
    let entry = held.entry();
    if settings.remote(&entry.remote)?.daemon()? != entry.daemon {
        let (name, remote) = (entry.shown_name(), entry.remote.clone());
        return Err(OutboxError::OtherDaemon { name, remote }.into());
    }
    let remote = connect().await?;
    let parcel = Parcel::Kept(Arc::new(Kept::find(held, &remote, output).await?));
    let receipt = hand_off(&entry.offer, &parcel, None, output, remote, connect).await?;
    Ok((receipt, parcel))
}

/// Remembers what was sent and drops its entry, in this order.
pub fn sent(
    places: &Places,
    output: &Output,
    entry: &Entry,
    held: Option<Held>,
    encoded_manifest: &[u8],
    receipt: &Receipt,
) {
    let kept = held.as_ref().map(Held::manifest_file);
    remember(places, output, entry, (encoded_manifest, kept.as_deref()), receipt);
    if let Some(Err(error)) = held.map(Held::discard) {
        let why = chain_text(&error);
        output.note(format_args!("warning: the run is shown as not sent, too: {why}"));
    }
}

/// Remembers where the run went, with the manifest and perhaps a file that holds it. The run exists
/// whether or not that succeeds.
fn remember(
    places: &Places,
    output: &Output,
    entry: &Entry,
    (encoded_manifest, kept): (&[u8], Option<&Path>),
    receipt: &Receipt,
) {
    let run = HandedOff {
        id: receipt.id.clone(),
        name: receipt.run.name.clone(),
        remote: entry.remote.clone(),
        root: entry.root.clone(),
        include: entry.include.clone(),
        exclude: entry.exclude.clone(),
        snapshot: entry.snapshot,
        at_unix_nanos: receipt.run.created_at_unix_nanos,
        cursor: receipt.cursor.clone(),
    };
    if let Err(error) = Ledger::new(places).remember(&run, encoded_manifest, kept) {
        let why = chain_text(&error);
        output.note(format_args!("warning: this machine will not remember the run: {why}"));
    }
    if let Err(error) = lease::hold_for(places, &entry.offer.contract, &receipt.run, &entry.remote)
    {
        let why = chain_text(&error);
        output.note(format_args!("warning: the session can be advanced here, too: {why}"));
    }
    let start = notifier::cursor::remember_start(places, &entry.remote, &receipt.cursor);
    if let Err(error) = start {
        let why = chain_text(&error);
        output.note(format_args!("warning: the notifier may miss the run's end: {why}"));
    }
}

/// Keeps a handoff for later, with everything that its remote may lack. Returns what to tell.
pub async fn postpone(
    mut held: Held,
    places: &Places,
    capture: &Arc<Capture>,
    why: anyhow::Error,
) -> anyhow::Error {
    let (name, spool) = (held.entry().shown_name(), held.spooled());
    let (ledger, entry) = (Ledger::new(places), held.entry().clone());
    let (capture, spool_name) = (Arc::clone(capture), name.clone());
    let written = tokio::task::spawn_blocking(move || {
        spool.write(&spool_name, &capture, &known_there(&ledger, &entry))
    });
    let not_set_aside = match written.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(chain_text(&error)),
        Err(_cancelled) => Some(OutboxError::Interrupted.to_string()),
    };
    let standing = match fate(&why) {
        Standing::Sending => Standing::Sending,
        Standing::Waiting { why } | Standing::Stopped { why } => Standing::Waiting { why },
    };
    if let Err(error) = held.settle(standing) {
        return why.context(format!("the handoff cannot be kept either: {}", chain_text(&error)));
    }
    NotSent { name, remote: held.entry().remote.clone(), not_set_aside, source: why }.into()
}

/// The chunks of the last snapshot of this tree that the remote got. Whether it has them still is
/// asked when the rest is sent.
fn known_there(ledger: &Ledger, entry: &Entry) -> ChunkIdSet {
    // What cannot be read is not known: then more is set aside.
    let runs = ledger.all().unwrap_or_default();
    let last = runs.iter().find(|run| run.remote == entry.remote && run.root == entry.root);
    let snapshot = last.and_then(|run| ledger.snapshot(run).ok());
    snapshot.iter().flat_map(|snapshot| snapshot.chunks()).map(|chunk| chunk.id).collect()
}
